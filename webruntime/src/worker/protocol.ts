/**
 * What page and worker say to each other. The page calls a method with one request; the worker answers with any number
 * of events and then one result or error. The page may abort a call. `transport.ts` carries it.
 */

import type { GpuHistory } from "../engine/adapter.ts";
import type {
  AdapterSummary,
  EngineStats,
  LoadOptions,
  LoadProgress,
  PlanChoice,
  Sampling,
  TowerName,
} from "../engine/engine-interface.ts";
import type { ErrorRecord } from "../engine/errors.ts";
import type { Manifest } from "../engine/manifest.gen.ts";
import type { BUDGETS } from "../input/image/budgets.ts";

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
  /** What messages may hold. */
  inputs: Manifest["inputs"];
  /** How many tokens a picture may be given: the choices, ascending; none where the model does not see. */
  details: ImageDetail[];
}

/** Tokens that a picture takes at most; the more, the smaller the things that are seen. */
export type ImageDetail = (typeof BUDGETS)[number];

/** Sound as it comes from a microphone: one channel, full scale ±1; rate: samples a second, a whole number. */
export interface Samples {
  samples: Float32Array;
  rate: number;
}

export interface TextPart {
  type: "text";
  text: string;
}

export interface ImagePart {
  type: "image";
  image: Blob;
  /** As the model has it by default. */
  detail?: ImageDetail | undefined;
}

export interface AudioPart {
  type: "audio";
  audio: Blob | Samples;
  /** Whether sound that is longer than the model hears at once is cut into segments, as by default, or refused. */
  long?: "segments" | "refuse" | undefined;
}

export interface VideoPart {
  type: "video";
  video: Blob;
  /** How many frames are seen at most, evenly taken; and the tokens of each. As the model has them by default. */
  frames?: number | undefined;
  detail?: ImageDetail | undefined;
  /** Whether its sound is heard. By default it is where the model hears and the clip has sound. */
  sound?: boolean | undefined;
  /** As of an AudioPart, for its sound. */
  long?: AudioPart["long"];
}

export type MediaPart = ImagePart | AudioPart | VideoPart;
export type MediaKind = MediaPart["type"];
export type ContentPart = TextPart | MediaPart;

/** What is said: words, or words and media in any order. */
export type Content = string | ContentPart[];

/** A function the model asks for; arguments are kept as the model wrote them, between the braces of its call. */
export interface ToolCall {
  name: string;
  arguments: string;
}

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: Content;
  toolCalls?: ToolCall[];
}

export interface SessionOptions {
  model: number;
  /** The conversation so far, a system message first where there is one. */
  messages?: ChatMessage[];
  thinking?: boolean;
  /**
   * Whether control tokens that are spelled out in messages are control tokens, as in transformers. Otherwise they are
   * text, and so cannot end a turn or begin one.
   */
  trusted?: boolean;
}

export interface SendOptions {
  session: number;
  /** Added to the conversation; absent to answer the conversation as it is (after edit or retry). */
  content?: Content;
  sampling?: Partial<Sampling>;
  maxTokens?: number;
}

/**
 * What happens to media before a prompt is processed. number and of count media of this kind: "reading picture 2 of 3".
 *
 * - read: a file is being read
 * - load: the part of the model that sees or hears is being loaded, as it is once; loaded and total are bytes
 * - encode: that part looks or listens; part and parts count the frames of a clip and the segments of a sound
 */
export type MediaEvent = { type: "media" } & (
  | { stage: "read"; kind: MediaKind; number: number; of: number }
  | { stage: "load"; tower: TowerName; loaded: number; total: number }
  | { stage: "encode"; kind: MediaKind; number: number; of: number; part: number; parts: number }
);

/**
 * prompt: prompt ids reused from the caches, done (those included) and in all; thought and text: what was added. stall: for
 * how many seconds the GPU, or the worker, has not come back from its work.
 */
export type ChatEvent =
  | MediaEvent
  | { type: "stall"; seconds: number }
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
  /**
   * stop: an end token; length: maxTokens or the context; memory: the GPU has none for longer caches; abort: the page
   * stopped it; lost: the GPU, or the worker, went while it was written. The text so far is kept.
   */
  finish: "stop" | "length" | "memory" | "abort" | "lost";
  stats: ChatStats;
}

/** Which bundle, and how: see LoadOptions of the engine. */
export interface LoadRequest extends Pick<LoadOptions, "context" | "memory" | "hostTable" | "plan"> {
  url: string;
  /** The whole address of the script that reads media, which the worker imports when the first medium comes. */
  mediaUrl: string;
  history: GpuHistory;
}

/** features: those of the page's GPU; null where it has none. */
export interface PreviewRequest {
  url: string;
  plan?: PlanChoice | undefined;
  features: readonly string[] | null;
}

/** What a bundle takes, by its own plans. */
export interface BundlePreview {
  manifest: Manifest;
  /** Bytes of weights that loading downloads. */
  downloadBytes: number;
  /** Why the GPU cannot run it, where it cannot; the rest is then of the plan that most can run. */
  refusal: ErrorRecord | null;
  memory: {
    /** Bytes of the GPU's memory that the model takes once a conversation fills the bundle's whole context. */
    text: number;
    /** Bytes of look-up tables that stay in the browser's storage. */
    stored: number;
    /** Those that are added when pictures and sound first come; 0 where the bundle takes text only. */
    towers: number;
    /** Roughly the memory of the whole machine, where the browser says that it is small. */
    machine: number | undefined;
    /** Whether that is so little that the text model may not fit. */
    tight: boolean;
  };
}

/** Every method of the worker. */
export type Methods = {
  preview: { request: PreviewRequest; event: never; result: BundlePreview };
  load: { request: LoadRequest; event: LoadProgress; result: ModelInfo };
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
  closeSession: { request: { session: number }; event: never; result: null };
};

/** What an answer adds to the conversation; nothing where it has neither words nor calls. */
export function messageOf({ text, toolCalls }: Pick<ChatResult, "text" | "toolCalls">): ChatMessage[] {
  if (text === "" && toolCalls.length === 0) return [];
  const message: ChatMessage = { role: "assistant", content: text };
  return [toolCalls.length > 0 ? { ...message, toolCalls } : message];
}

/** What the worker's host needs of the chat side (`webruntime/src/chat/model.ts` implements it as `openChat`). */
export interface ChatModel {
  readonly sampling: Sampling;
  readonly inputs: ModelInfo["inputs"];
  readonly details: ImageDetail[];
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

/** ping: asks for a `here`. */
export type PageMessage =
  | { type: "ping" }
  | { type: "call"; call: number; method: string; request: unknown }
  | { type: "abort"; call: number };

/** here: the worker's first word, and its answer to a ping. */
export type WorkerMessage =
  | { type: "here" }
  | { type: "event"; call: number; event: unknown }
  | { type: "result"; call: number; result: unknown }
  | { type: "error"; call: number; error: ErrorRecord };
