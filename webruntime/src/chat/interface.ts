/** The interface between worker and chat: conversations with a loaded model. */

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
  /** The conversation so far. A system message comes first. */
  messages?: ChatMessage[];
  thinking?: boolean;
  /**
   * Whether control tokens spelled out in messages are read as control tokens, as in transformers. Otherwise they are
   * text, and cannot begin or end a turn. Default: false.
   */
  trusted?: boolean;
}

export interface SendOptions extends GenerationOptions {
  /** A new message of the user. Absent to answer the conversation as it is, after an edit or a retry. */
  content?: Content;
}

/** The functions that the worker's host calls; `openChat` in `model.ts` makes one. */
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
