/** Conversations to prompts, by the bundle's chat_template.jinja. */

import { Template } from "@huggingface/jinja";
import type { BundleFiles } from "../engine/engine-interface.ts";
import { BundleError } from "../engine/errors.ts";

/** A message as templates know it: role and content, and whatever else the template reads. */
export interface TemplateMessage {
  role: string;
  content?: unknown;
  [key: string]: unknown;
}

export interface RenderOptions {
  thinking: boolean;
  /** Ends with the opening of the model's turn. */
  addGenerationPrompt: boolean;
  tools?: readonly unknown[] | null;
}

export class ChatTemplate {
  readonly #template: Template;
  /** bos_token and its like, which templates write themselves. */
  readonly #specialTokens: Record<string, string>;

  constructor(source: string, tokenizerConfig: Record<string, unknown>) {
    this.#template = new Template(source);
    this.#specialTokens = specialTokens(tokenizerConfig);
  }

  render(messages: readonly TemplateMessage[], options: RenderOptions): string {
    return this.#template.render({
      ...this.#specialTokens,
      messages,
      tools: options.tools ?? null,
      enable_thinking: options.thinking,
      add_generation_prompt: options.addGenerationPrompt,
    });
  }
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
  const [source, config] = await Promise.all([files.text("chat_template.jinja"), files.json("tokenizer_config.json")]);
  try {
    return new ChatTemplate(source, config as Record<string, unknown>);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BundleError(`chat_template.jinja cannot be read: ${reason}. Export again.`, "chat_template.jinja");
  }
}
