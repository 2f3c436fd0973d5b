/**
 * The words that rooms share: what is said to a model, what comes back, and how a model is loaded. Pages get these types
 * from `api`.
 */

import type { Residence } from "./bundle/dispatches.ts";
import type { PLAN_CHOICES } from "./bundle/facts.gen.ts";
import type { HostEmbeddingsChoice } from "./bundle/memory.ts";
import type { BUDGETS, LONG_AUDIO } from "./facts.gen.ts";

/** Tokens that a picture takes at most; the more, the smaller the things that are seen. */
export type ImageDetail = (typeof BUDGETS)[number];

/** Sound as it comes from a microphone: one channel, full scale ±1; rate: samples a second, a whole number. */
export interface Samples {
  samples: Float32Array;
  rate: number;
}

/** What becomes of sound that is longer than a model hears at once. */
export type LongAudio = (typeof LONG_AUDIO)[number];

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
  long?: LongAudio | undefined;
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

/** temperature 0 is greedy; topK 0 keeps as many as the sampler does; topP 1 is off. */
export interface Sampling {
  temperature: number;
  topK: number;
  topP: number;
  seed: number;
}

/** How an answer is made. Left out, sampling is as generation_config.json says; maxTokens: until the context ends. */
export interface GenerationOptions {
  sampling?: Partial<Sampling>;
  maxTokens?: number;
}

/** The parts of a model that make rows of embeddings: of pictures and frames of clips, and of sound. */
export type TowerName = "image" | "audio";

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

/** What an answer adds to the conversation; nothing where it has neither words nor calls. */
export function messageOf({ text, toolCalls }: Pick<ChatResult, "text" | "toolCalls">): ChatMessage[] {
  if (text === "" && toolCalls.length === 0) return [];
  const message: ChatMessage = { role: "assistant", content: text };
  return [toolCalls.length > 0 ? { ...message, toolCalls } : message];
}

/**
 * manifest: reading gemtab.json and the plan; download: fetching, checking and uploading weights; compile: waiting
 * for pipelines, which are made while the weights come in; ready: done.
 */
export type LoadStage = "manifest" | "download" | "compile" | "ready";

/**
 * loaded and total: bytes of weights checked and uploaded; bytesPerSecond: over the last few seconds. stalled: for how many
 * seconds the GPU has not come back, where that is long.
 */
export interface LoadProgress {
  stage: LoadStage;
  loaded: number;
  total: number;
  bytesPerSecond: number;
  stalled?: number;
}

export interface LoadOptions {
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Tokens the caches hold; at most, and by default, the plan's own context. */
  context?: number | undefined;
  /** Bytes of the GPU's memory that the text model may take; loading fails, before any weight comes, where it needs more. */
  memory?: number | undefined;
  /**
   * Whether per-layer embeddings stay in the browser's storage, from where each step is handed the rows
   * that it lacks: `auto`, as by default, where the model does not fit into `memory` otherwise, on machines that say they
   * have little, and when the GPU runs out of memory. Answers are the same and come more slowly.
   */
  hostEmbeddings?: HostEmbeddingsChoice | undefined;
  /** In what keys and values are kept: `auto`, as by default, in f16 where the GPU has it; or `f16`, or `f32`. */
  plan?: PlanChoice | undefined;
}

export type PlanChoice = (typeof PLAN_CHOICES)[number];

/** software: the adapter runs on the CPU, which the page says in words. */
export interface AdapterSummary {
  vendor: string;
  architecture: string;
  description: string;
  software: boolean;
  features: string[];
}

/**
 * What the engine has allocated on the GPU now, in bytes: the manifest's statement, come true. Snapshots and rows of
 * media are their owners'.
 */
export interface EngineStats {
  activation: "f32" | "f16";
  embeddings: Residence;
  weightBytes: number;
  /** Caches. */
  stateBytes: number;
  /** Slots, controls and params. */
  scratchBytes: number;
  /** Towers that are loaded, while they do not encode. */
  towerBytes: number;
  /** The sum. */
  gpuBytes: number;
  /** Dispatches of each program in its plan, e.g. { fill: 120, decode: 117 }. */
  dispatches: Record<string, number>;
}

/** What the page saw of its GPU before: how often it was lost, and which work had to be left on it (in words). */
export interface GpuHistory {
  losses: number;
  holder?: string | undefined;
}
