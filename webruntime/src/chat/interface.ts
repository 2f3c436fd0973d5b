/** What the chat side offers to the worker: conversations on a loaded model. */

import type { Manifest } from "../bundle/manifest.gen.ts";
import type {
  ChatEvent,
  ChatMessage,
  ChatResult,
  Content,
  GenerationOptions,
  ImageDetail,
  Sampling,
} from "../messages.ts";

export interface SessionOptions {
  /** The conversation so far, a system message first where there is one. */
  messages?: ChatMessage[];
  thinking?: boolean;
  /**
   * Whether control tokens that are spelled out in messages are control tokens, as in transformers. Otherwise they are
   * text, and so cannot end a turn or begin one.
   */
  trusted?: boolean;
}

export interface SendOptions extends GenerationOptions {
  /** Added to the conversation; absent to answer the conversation as it is (after edit or retry). */
  content?: Content;
}

/** What the worker's host needs of the chat side (`model.ts` implements it as `openChat`). */
export interface ChatModel {
  readonly sampling: Sampling;
  readonly inputs: Manifest["inputs"];
  readonly details: ImageDetail[];
  open(options: SessionOptions): ChatSession;
}

export interface ChatSession {
  readonly messages: readonly ChatMessage[];
  send(options: SendOptions, call: { signal: AbortSignal; emit(event: ChatEvent): void }): Promise<ChatResult>;
  setMessages(messages: ChatMessage[], thinking?: boolean): void;
  dispose(): void;
}
