/** The functions of the tab's text code that corpus tests call. Each takes one JSON text and returns a list. */

import { AnswerParser } from "../../webruntime/src/chat/answer.ts";
import { controlTokens } from "../../webruntime/src/chat/model.ts";
import { ChatTemplate, type TemplateMessage } from "../../webruntime/src/input/chat-template.ts";
import { Detokenizer } from "../../webruntime/src/input/detokenizer.ts";
import { readJson } from "../../webruntime/src/input/json.ts";
import { Tokenizer } from "../../webruntime/src/input/tokenizer.ts";

interface Chat {
  tokenizer: object;
  config: Record<string, unknown>;
  template: string;
}

interface Conversation {
  messages: TemplateMessage[];
  tools: unknown[] | null;
  thinking: boolean;
}

/** Read conversations with the digits that JSON.parse loses. */
function conversations(json: string): Conversation[] {
  return (readJson(json) as Map<string, unknown>[]).map((one) => ({
    messages: (one.get("messages") as Map<string, unknown>[]).map((message) => Object.fromEntries(message)) as never,
    tools: one.get("tools") as unknown[] | null,
    thinking: one.get("thinking") as boolean,
  }));
}

/** Return the prompts as transformers renders them, or null where the template rejects the conversation. */
export function rendered({ config, template }: Chat, json: string): (string | null)[] {
  const made = new ChatTemplate(template, config);
  return conversations(json).map(({ messages, tools, thinking }) => {
    try {
      return made.render(messages, { tools, thinking, addGenerationPrompt: true });
    } catch {
      return null;
    }
  });
}

/**
 * Return the ids of prompts in which control tokens of messages are text, or null where the template rejects the
 * conversation.
 */
export function prompts({ tokenizer, config, template }: Chat, json: string): (number[] | null)[] {
  const [made, tokens] = [new ChatTemplate(template, config), new Tokenizer(tokenizer)];
  const control = controlTokens(tokens, made);
  return conversations(json).map(({ messages, tools, thinking }) => {
    try {
      const { text, cut } = made.write(messages, { tools, thinking, addGenerationPrompt: true }, control);
      return tokens.encodePieces(cut(text));
    } catch {
      return null;
    }
  });
}

export function encoded({ tokenizer }: Chat, json: string): number[][] {
  const tokens = new Tokenizer(tokenizer);
  return (JSON.parse(json) as string[]).map((text) => tokens.encode(text));
}

export function streamed({ tokenizer }: Chat, json: string): string[] {
  const tokens = new Tokenizer(tokenizer);
  return (JSON.parse(json) as number[][]).map((ids) => {
    const detokenizer = new Detokenizer(tokens);
    return ids.map((id) => detokenizer.push(id)).join("") + detokenizer.end();
  });
}

/**
 * Return the parts of answers, as [kind, text] and ["tool_call", name, arguments], with neighbours of one kind joined.
 */
export function parts({ tokenizer }: Chat, json: string): string[][][] {
  const tokens = new Tokenizer(tokenizer);
  return (JSON.parse(json) as number[][]).map((ids) => {
    const parser = new AnswerParser(tokens);
    const joined: string[][] = [];
    for (const part of [...ids.flatMap((id) => parser.push(id)), ...parser.end()]) {
      const last = joined.at(-1);
      if (part.type === "tool_call") joined.push(["tool_call", part.name, part.arguments]);
      else if (last?.[0] === part.type) last[1] += part.text;
      else joined.push([part.type, part.text]);
    }
    return joined;
  });
}
