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

/** The options of a session. */
export interface SessionOptions {
  /** The conversation so far. A system message comes first. */
  messages?: ChatMessage[];
  /** Whether the model thinks before it answers. Default: false. */
  thinking?: boolean;
  /**
   * Whether control tokens spelled out in messages are read as control tokens, as in transformers. Otherwise they are
   * text, and cannot begin or end a turn. Default: false.
   */
  trusted?: boolean;
}

/** The options of one answer. */
export interface SendOptions extends GenerationOptions {
  /** A new message of the user. Absent to answer the conversation as it is, after an edit or a retry. */
  content?: Content;
}

/** The functions that the worker's host calls; `openChat` in `model.ts` makes one. */
export interface ChatModel {
  /** The default sampling. */
  readonly sampling: Sampling;
  /** The kinds of content that messages may have. */
  readonly inputs: Manifest["inputs"];
  /** The choices for an image's maximum number of tokens, ascending. */
  readonly details: ImageDetail[];
  /** Open a session. */
  open(options: SessionOptions): ChatSession;
}

/** A conversation with a loaded model. */
export interface ChatSession {
  /** The messages so far. */
  readonly messages: readonly ChatMessage[];
  /** Answer the conversation. Throws ContextError, MediaError, UsageError and DeviceError. */
  send(options: SendOptions, call: { signal: AbortSignal; emit(event: ChatEvent): void }): Promise<ChatResult>;
  /** Replace the messages, and optionally `thinking`. */
  setMessages(messages: ChatMessage[], thinking?: boolean): void;
  /** Close the session. */
  dispose(): void;
}
