/** Renders conversations as prompts with the bundle's chat_template.jinja. */

import { brief } from "../brief.ts";
import type { BundleFiles } from "../bundle/files.ts";
import { objectIn } from "../bundle/json-text.ts";
import { BundleError, ContextError, UsageError } from "../errors.ts";
import { THOUGHTS } from "../facts.gen.ts";
import { OVERFLOW } from "./jinja/output.ts";
import { Template } from "./jinja/template.ts";
import { wellFormed } from "./jinja/text.ts";
import { type ControlTokens, type Cut, mapStrings, reread, stringsIn, whole } from "./spoken.ts";

/** The template's file in the bundle. */
export const CHAT_TEMPLATE = "chat_template.jinja";
/** The maximum number of characters of a template's error message. */
const MAX_REASON = 400;

/** A message as templates read it: role, content, and any other members. */
export interface TemplateMessage {
  role: string;
  content?: unknown;
  [key: string]: unknown;
}

/**
 * The inputs of a template besides messages. `jinja/values.ts` reads their numbers: bigints reach the template exactly,
 * and `readJson` keeps the digits that JSON.parse loses.
 */
export interface RenderOptions {
  thinking: boolean;
  /** Whether the prompt ends with the beginning of the model's turn. */
  addGenerationPrompt: boolean;
  tools?: readonly unknown[] | null;
  /** The maximum UTF-16 units of a prompt. A template that writes more is stopped. */
  most?: number;
}

/** A rendered conversation. Characters of messages may be replaced by stand-ins; `cut` restores them. */
export interface Written {
  text: string;
  cut: Cut;
}

/** The names of a message's thoughts, as in transformers. Templates read the first one. */
const ARGUMENTS = "[].tool_calls[].function.arguments";
const MEDIA = ["image", "audio", "video"];

/** A bundle's chat template. */
export class ChatTemplate {
  readonly #template: Template;
  /** Special tokens such as bos_token, which templates write by name. */
  readonly #specialTokens: Record<string, string>;

  /** @throws Error for a template that cannot be parsed */
  constructor(source: string, tokenizerConfig: Record<string, unknown>) {
    this.#template = new Template(wellFormed(source));
    this.#specialTokens = specialTokens(tokenizerConfig);
  }

  /** Whether the template itself writes `token`. */
  names(token: string): boolean {
    return this.#template.literals.some((text) => text.includes(token));
  }

  /**
   * Render a conversation as transformers does: control tokens in messages are control tokens.
   *
   * @throws BundleError where the template rejects the conversation, UsageError where it does not support the media,
   * ContextError where it writes more than `most`
   */
  render(messages: readonly TemplateMessage[], options: RenderOptions): string {
    return this.#render(messages.map(normal), options.tools ?? null, options);
  }

  /**
   * Render a conversation whose messages cannot contain control tokens: control tokens in messages become text. Throws
   * the errors of `render`.
   *
   * @param trusted whether this applies only to the model's own messages, in which ordinary tokens stay text
   */
  write(
    messages: readonly TemplateMessage[],
    options: RenderOptions,
    control: ControlTokens,
    trusted = false,
  ): Written {
    const said = { messages: messages.map(normal), tools: options.tools ?? null };
    const texts = stringsIn([said.messages, said.tools]).map(wellFormed);
    const fence = this.#specialTokens.escape_token;
    // The model's own calls keep its spelling, with strings in fences.
    const outsideFences = fence === undefined ? control : control.without(fence);
    const twins = control.twins(texts, this.#template.literals);
    if (!twins) return { text: this.#render(said.messages, said.tools, options), cut: whole };
    const written = (everywhere: boolean) => {
      const hide = (text: string, path: string) =>
        path === ARGUMENTS
          ? outsideFences.guard(wellFormed(text), twins)
          : control.guard(wellFormed(text), twins, everywhere);
      const hidden = mapStrings(said.messages, hide) as TemplateMessage[];
      const messages = said.messages.map((own, i) => (trusted && own.role !== "assistant" ? own : hidden[i]));
      const tools = trusted ? said.tools : mapStrings(said.tools, hide);
      const text = reread(this.#render(messages, tools, options), twins);
      return { text, own: control.found(text).join("\n") };
    };
    const [some, all] = [written(false), written(true)];
    // If the template itself joins parts of messages into control tokens, all their characters that could be part of
    // one are replaced.
    const { text } = some.own === all.own ? some : all;
    return { text, cut: (prompt) => control.pieces(prompt, twins) };
  }

  #render(messages: readonly unknown[], tools: unknown, options: RenderOptions): string {
    try {
      const variables = {
        ...this.#specialTokens,
        messages,
        tools,
        documents: null,
        enable_thinking: options.thinking,
        add_generation_prompt: options.addGenerationPrompt,
      };
      return this.#template.render(variables, options.most);
    } catch (cause) {
      throw refusal(cause, messages);
    }
  }
}

/** Normalize a message as transformers does: remove null members, and copy thoughts to each of their names. */
function normal(message: TemplateMessage): Record<string, unknown> {
  const given = Object.entries(message).filter(([, value]) => value !== null && value !== undefined);
  const kept: Record<string, unknown> = Object.fromEntries(given);
  const thought = THOUGHTS.map((name) => kept[name]).find((value) => value !== undefined);
  return thought === undefined ? kept : { thinking: thought, ...kept, reasoning_content: thought };
}

/** Return the error for a conversation that the template rejects. */
function refusal(cause: unknown, messages: readonly unknown[]): BundleError | UsageError | ContextError {
  const reason = brief(cause instanceof Error ? cause.message : String(cause), MAX_REASON);
  if (cause instanceof Error && cause.name === OVERFLOW) {
    return new ContextError(
      `The conversation becomes longer than the context can hold: ${CHAT_TEMPLATE} was stopped because ${reason}. Shorten ` +
        "the message, start a new conversation, or load the model with a larger context.",
    );
  }
  const kinds = MEDIA.filter((kind) => hasMedium(messages, kind));
  if (kinds.length > 0 && cause instanceof Error && cause.name === "TypeError") {
    return new UsageError(
      `${CHAT_TEMPLATE} supports text messages only, and this conversation has ${kinds.join(", ")} (${reason}). Remove ` +
        "the media, or export the model with a template that supports them.",
    );
  }
  return new BundleError(`${CHAT_TEMPLATE} rejects this conversation: ${reason}.`, CHAT_TEMPLATE);
}

function hasMedium(messages: readonly unknown[], kind: string): boolean {
  return messages.some((message) => {
    const content = message instanceof Map ? message.get("content") : (message as TemplateMessage).content;
    if (!Array.isArray(content)) return false;
    return content.some((part) => (part instanceof Map ? part.get("type") : part?.type) === kind);
  });
}

/** Return the special tokens. An entry such as "bos_token" is a string, or an object with the string in `content`. */
function specialTokens(config: Record<string, unknown>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith("_token")) continue;
    const content = typeof value === "object" && value !== null && "content" in value ? value.content : value;
    if (typeof content === "string") tokens[name] = content;
  }
  return tokens;
}

/** Load the chat template of a bundle. Throws BundleError where it cannot be parsed. */
export async function loadChatTemplate(files: BundleFiles): Promise<ChatTemplate> {
  const [source, config] = await Promise.all([files.text(CHAT_TEMPLATE), files.json("tokenizer_config.json")]);
  const named = objectIn(config, "tokenizer_config.json");
  try {
    return new ChatTemplate(source, named);
  } catch (cause) {
    const reason = brief(cause instanceof Error ? cause.message : String(cause), MAX_REASON);
    throw new BundleError(`${CHAT_TEMPLATE} cannot be read: ${reason}. Export again.`, CHAT_TEMPLATE);
  }
}
