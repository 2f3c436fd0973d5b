/**
 * What page and worker say to each other. The page calls a method with one request; the worker answers with any number
 * of events and then one result or error. The page may abort a call. `transport.ts` carries it.
 */

import type { AdapterSummary, EngineStats, LoadProgress, Sampling } from "../engine/engine-interface.ts";
import type { ErrorRecord } from "../engine/errors.ts";
import type { Manifest } from "../engine/manifest.gen.ts";

export interface Method {
  request: unknown;
  event: unknown;
  result: unknown;
}

/** Pages that load the same address share one engine. */
export interface ModelInfo {
  model: number;
  url: string;
  manifest: Manifest;
  /** parity.json, where `gemtab verify` wrote one. */
  parity: unknown;
  context: number;
  adapter: AdapterSummary;
  stats: EngineStats;
  /** Sampling of generation_config.json. */
  sampling: Sampling;
}

/** A function the model asks for; arguments are kept as the model wrote them, between the braces of its call. */
export interface ToolCall {
  name: string;
  arguments: string;
}

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
  toolCalls?: ToolCall[];
}

export interface SessionOptions {
  model: number;
  /** The conversation so far, a system message first where there is one. */
  messages?: ChatMessage[];
  thinking?: boolean;
}

export interface SendOptions {
  session: number;
  /** Added to the conversation; absent to answer the conversation as it is (after edit or retry). */
  text?: string;
  sampling?: Partial<Sampling>;
  maxTokens?: number;
}

/** prompt: prompt ids reused from the caches, done (those included) and in all; thought and text: what was added. */
export type ChatEvent =
  | { type: "prompt"; reused: number; done: number; total: number }
  | { type: "thought"; text: string }
  | { type: "text"; text: string }
  | ({ type: "tool_call" } & ToolCall);

export interface ChatStats {
  promptTokens: number;
  /** Prompt tokens that the caches already held. */
  reusedTokens: number;
  answerTokens: number;
  firstTokenSeconds: number;
  promptTokensPerSecond: number;
  tokensPerSecond: number;
  contextUsed: number;
}

export interface ChatResult {
  /** What the model wrote, as ids; the end token included. */
  ids: number[];
  text: string;
  thought: string;
  toolCalls: ToolCall[];
  /** stop: an end token; length: maxTokens or the context; abort: the page stopped it, the text so far is kept. */
  finish: "stop" | "length" | "abort";
  stats: ChatStats;
}

/** Every method of the worker. */
export type Methods = {
  load: { request: { url: string; context?: number }; event: LoadProgress; result: ModelInfo };
  /** Settles when the model's device is lost, with the reason; never otherwise. */
  lost: { request: { model: number }; event: never; result: ErrorRecord };
  swapShader: { request: { model: number; file: string; text: string }; event: never; result: null };
  unload: { request: { model: number }; event: never; result: null };
  openSession: { request: SessionOptions; event: never; result: { session: number } };
  send: { request: SendOptions; event: ChatEvent; result: ChatResult };
  /** Replaces the conversation: edit, delete, reset, another system prompt, thinking on or off. */
  setMessages: {
    request: { session: number; messages: ChatMessage[]; thinking?: boolean };
    event: never;
    result: null;
  };
  messages: { request: { session: number }; event: never; result: ChatMessage[] };
  closeSession: { request: { session: number }; event: never; result: null };
};

/** What the worker's host needs of the chat side (`webruntime/src/chat/model.ts` implements it as `openChat`). */
export interface ChatModel {
  readonly sampling: Sampling;
  open(options: Omit<SessionOptions, "model">): ChatSession;
}

export interface ChatSession {
  readonly messages: readonly ChatMessage[];
  send(
    options: Omit<SendOptions, "session">,
    call: { signal: AbortSignal; emit(event: ChatEvent): void },
  ): Promise<ChatResult>;
  setMessages(messages: ChatMessage[], thinking?: boolean): void;
  dispose(): void;
}

export type PageMessage =
  | { type: "call"; call: number; method: string; request: unknown }
  | { type: "abort"; call: number };

export type WorkerMessage =
  | { type: "event"; call: number; event: unknown }
  | { type: "result"; call: number; result: unknown }
  | { type: "error"; call: number; error: ErrorRecord };
