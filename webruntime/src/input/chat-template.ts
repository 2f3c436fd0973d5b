/** Conversations to prompts, by the bundle's chat_template.jinja. */

import { brief } from "../brief.ts";
import type { BundleFiles } from "../bundle/files.ts";
import { objectIn } from "../bundle/json-text.ts";
import { BundleError, ContextError, UsageError } from "../errors.ts";
import { THOUGHTS } from "../facts.gen.ts";
import { OVERFLOW } from "./jinja/output.ts";
import { Template } from "./jinja/template.ts";
import { wellFormed } from "./jinja/text.ts";
import { type ControlTokens, type Cut, mapStrings, reread, stringsIn, whole } from "./spoken.ts";

export const CHAT_TEMPLATE = "chat_template.jinja";
/** Characters of what a template says in an error. */
const MOST_REASON = 400;

/** A message as templates know it: role and content, and whatever else the template reads. */
export interface TemplateMessage {
  role: string;
  content?: unknown;
  [key: string]: unknown;
}

/**
 * What a template is given besides messages. Numbers as `jinja/values.ts` reads them: bigints reach the template whole, and
 * `readJson` keeps what JSON.parse loses.
 */
export interface RenderOptions {
  thinking: boolean;
  /** Ends with the opening of the model's turn. */
  addGenerationPrompt: boolean;
  tools?: readonly unknown[] | null;
  /** UTF-16 units that a prompt may have: a template that writes more is stopped. */
  most?: number;
}

/** A rendered conversation, in which characters of what was said may be hidden; `cut` brings them back. */
export interface Written {
  text: string;
  cut: Cut;
}

/** The names under which a message's thoughts come, as in transformers; the first is the one that templates read. */
const ARGUMENTS = "[].tool_calls[].function.arguments";
const MEDIA = ["image", "audio", "video"];

export class ChatTemplate {
  readonly #template: Template;
  /** bos_token and its like, which templates write themselves. */
  readonly #specialTokens: Record<string, string>;

  /** @throws Error for a template that cannot be read */
  constructor(source: string, tokenizerConfig: Record<string, unknown>) {
    this.#template = new Template(wellFormed(source));
    this.#specialTokens = specialTokens(tokenizerConfig);
  }

  /** Whether the template writes `token` itself. */
  names(token: string): boolean {
    return this.#template.literals.some((text) => text.includes(token));
  }

  /**
   * As transformers renders it: control tokens in what is said are control tokens.
   *
   * @throws BundleError where the template refuses the conversation, UsageError where it cannot take its media, ContextError
   *   where it writes more than `most`
   */
  render(messages: readonly TemplateMessage[], options: RenderOptions): string {
    return this.#render(messages.map(normal), options.tools ?? null, options);
  }

  /**
   * The same, but control tokens in what is said are hidden, so that they come to be text. Throws what `render` does.
   *
   * @param trusted in what the model said alone: what it wrote by ordinary tokens stays that
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
    // The model's own calls come as it wrote them, strings in fences.
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
    // Where the template itself joins what was said into tokens, it is given nothing that it could make them of.
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

/** What transformers does to a message: null members are left out, and thoughts stand under each name they have. */
function normal(message: TemplateMessage): Record<string, unknown> {
  const given = Object.entries(message).filter(([, value]) => value !== null && value !== undefined);
  const kept: Record<string, unknown> = Object.fromEntries(given);
  const thought = THOUGHTS.map((name) => kept[name]).find((value) => value !== undefined);
  return thought === undefined ? kept : { thinking: thought, ...kept, reasoning_content: thought };
}

/** The error for a conversation that the template does not take. */
function refusal(cause: unknown, messages: readonly unknown[]): BundleError | UsageError | ContextError {
  const reason = brief(cause instanceof Error ? cause.message : String(cause), MOST_REASON);
  if (cause instanceof Error && cause.name === OVERFLOW) {
    return new ContextError(
      `The conversation becomes longer than the context can hold: ${CHAT_TEMPLATE} was stopped because ${reason}. Shorten ` +
        "the message, start a new conversation, or load the model with a larger context.",
    );
  }
  const kinds = MEDIA.filter((kind) => hasMedium(messages, kind));
  if (kinds.length > 0 && cause instanceof Error && cause.name === "TypeError") {
    return new UsageError(
      `${CHAT_TEMPLATE} takes messages of text alone, and this conversation has ${kinds.join(", ")} (${reason}). Leave ` +
        "media out, or export the model with a template that takes them.",
    );
  }
  return new BundleError(`${CHAT_TEMPLATE} refuses this conversation: ${reason}.`, CHAT_TEMPLATE);
}

function hasMedium(messages: readonly unknown[], kind: string): boolean {
  return messages.some((message) => {
    const content = message instanceof Map ? message.get("content") : (message as TemplateMessage).content;
    if (!Array.isArray(content)) return false;
    return content.some((part) => (part instanceof Map ? part.get("type") : part?.type) === kind);
  });
}

/** Entries like "bos_token": a string, or an object with the string in `content`. */
function specialTokens(config: Record<string, unknown>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith("_token")) continue;
    const content = typeof value === "object" && value !== null && "content" in value ? value.content : value;
    if (typeof content === "string") tokens[name] = content;
  }
  return tokens;
}

export async function loadChatTemplate(files: BundleFiles): Promise<ChatTemplate> {
  const [source, config] = await Promise.all([files.text(CHAT_TEMPLATE), files.json("tokenizer_config.json")]);
  const named = objectIn(config, "tokenizer_config.json");
  try {
    return new ChatTemplate(source, named);
  } catch (cause) {
    const reason = brief(cause instanceof Error ? cause.message : String(cause), MOST_REASON);
    throw new BundleError(`${CHAT_TEMPLATE} cannot be read: ${reason}. Export again.`, CHAT_TEMPLATE);
  }
}
