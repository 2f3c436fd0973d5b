/**
 * The types that several rooms share: messages to a model, its answers, and the options of loading. Pages import these
 * types from `api`.
 */

import type { Residence } from "./bundle/dispatches.ts";
import type { PLAN_CHOICES } from "./bundle/facts.gen.ts";
import type { HostEmbeddingsChoice } from "./bundle/memory.ts";
import type { BUDGETS, LONG_AUDIO } from "./facts.gen.ts";

/** The maximum number of tokens of an image. More tokens make smaller details visible. */
export type ImageDetail = (typeof BUDGETS)[number];

/** Audio samples, for example from a microphone. */
export interface Samples {
  /** One channel, full scale ±1. */
  samples: Float32Array;
  /** Samples a second, a whole number from 8,000 to 192,000. */
  rate: number;
}

/** How to handle audio that is longer than a model takes at once: split it into segments, or throw MediaError. */
export type LongAudio = (typeof LONG_AUDIO)[number];

/** Text in a message. */
export interface TextPart {
  type: "text";
  /** The text. Control tokens in it are read as text, unless the conversation is `trusted`. */
  text: string;
}

/** An image in a message. */
export interface ImagePart {
  type: "image";
  /** An image file: JPEG, PNG, WebP, GIF, BMP or AVIF. */
  image: Blob;
  /** The maximum number of tokens. Default: the model's own. */
  detail?: ImageDetail | undefined;
}

/** Audio in a message. */
export interface AudioPart {
  type: "audio";
  /** An audio file (WAV, MP3, AAC, FLAC, Ogg, MP4, MOV, WebM or Matroska), or samples. */
  audio: Blob | Samples;
  /** How to handle audio that is longer than the model takes at once. Default: "segments". */
  long?: LongAudio | undefined;
}

/** A video in a message. */
export interface VideoPart {
  type: "video";
  /** A video file: MP4, MOV, WebM or Matroska. */
  video: Blob;
  /** The maximum number of frames, which are evenly spread over the video. Default: the model's own. */
  frames?: number | undefined;
  /** The maximum number of tokens of each frame. Default: the model's own. */
  detail?: ImageDetail | undefined;
  /**
   * Whether the model hears the video's audio. Default: true where the model takes audio and the video has some. Throws
   * MediaError where it is true and the video has no audio.
   */
  audio?: boolean | undefined;
  /** As in AudioPart, for the video's audio. */
  long?: AudioPart["long"];
}

/** A part of a message that is not text. */
export type MediaPart = ImagePart | AudioPart | VideoPart;
/** The kinds of media: "image", "audio" and "video". */
export type MediaKind = MediaPart["type"];
/** A part of a message. */
export type ContentPart = TextPart | MediaPart;

/** The content of a message: text, or text and media in any order. */
export type Content = string | ContentPart[];

/** A function call that the model asks for. */
export interface ToolCall {
  /** The function's name. */
  name: string;
  /** The arguments as the model wrote them, between the braces of its call. */
  arguments: string;
}

/** A message of a conversation. */
export interface ChatMessage {
  /** The author. A system message stands first. */
  role: "system" | "user" | "assistant";
  /** Text, or text and media. */
  content: Content;
  /** The function calls of an assistant's message. */
  toolCalls?: ToolCall[];
}

/** How tokens are chosen. The defaults, except the seed's, are those of the bundle's generation_config.json. */
export interface Sampling {
  /** From 0, which is greedy: the most likely token. */
  temperature: number;
  /** The number of the most likely tokens that are considered; 0 for as many as the sampler supports. */
  topK: number;
  /** The smallest set of tokens with this total probability is considered, from 0 to 1; 1 is off. */
  topP: number;
  /** A whole number from 0 to 2^32 - 1. Default: a random number for each answer. */
  seed: number;
}

/** How an answer is made. */
export interface GenerationOptions {
  /** How tokens are chosen. Default: the bundle's generation_config.json, with a random seed. */
  sampling?: Partial<Sampling>;
  /** The maximum number of tokens of the answer. Default: until the context is full. */
  maxTokens?: number;
}

/** The parts of a model that encode media: images and video frames, and audio. */
export type TowerName = "image" | "audio";

/**
 * The steps that media go through before a prompt is processed. number and of: which of the media of this kind, such as
 * "image 2 of 3", counted from 1.
 *
 * - read: a file is being read
 * - load: the part of the model for images or audio is being loaded, once; loaded and total are bytes
 * - encode: that part encodes a medium; part and parts count the frames of a video and the segments of audio
 */
export type MediaEvent = { type: "media" } & (
  | { stage: "read"; kind: MediaKind; number: number; of: number }
  | { stage: "load"; tower: TowerName; loaded: number; total: number }
  | { stage: "encode"; kind: MediaKind; number: number; of: number; part: number; parts: number }
);

/**
 * The events of an answer.
 *
 * - stall: the GPU or the worker has not responded for `seconds` seconds
 * - prompt: progress with the prompt, in tokens: reused from the caches, done (reused ones included), and total
 * - thought, text: the text that was added
 * - tool_call: a function call that the model asks for
 */
export type ChatEvent =
  | MediaEvent
  | { type: "stall"; seconds: number }
  | { type: "prompt"; reused: number; done: number; total: number }
  | { type: "thought"; text: string }
  | { type: "text"; text: string }
  | ({ type: "tool_call" } & ToolCall);

/** Counts and rates of an answer. A time or rate is 0 where there was nothing to measure. */
export interface ChatStats {
  /** Tokens of the prompt. */
  promptTokens: number;
  /** Prompt tokens that the caches already held. */
  reusedTokens: number;
  /** Tokens of the answer, thoughts and end token included. */
  answerTokens: number;
  /** Seconds from the call to the first token of the answer. */
  firstTokenSeconds: number;
  /** Prompt tokens a second, without the reused ones. */
  promptTokensPerSecond: number;
  /** Answer tokens a second, after the first. */
  tokensPerSecond: number;
  /** Tokens of the context that are in use. */
  contextUsed: number;
}

/** A complete answer. */
export interface ChatResult {
  /** The ids of the model's tokens, including the end token. */
  ids: number[];
  /** The text, without thoughts and calls. */
  text: string;
  /** The thoughts; "" where there are none. */
  thought: string;
  /** The function calls that the model asks for. */
  toolCalls: ToolCall[];
  /**
   * Why the answer ended. stop: an end token; length: maxTokens or the context; memory: the GPU has no memory for longer
   * caches; abort: the page stopped it; lost: the GPU or the worker was lost. The text so far is kept.
   */
  finish: "stop" | "length" | "memory" | "abort" | "lost";
  /** Counts and rates. */
  stats: ChatStats;
}

/** Return the messages that an answer adds to the conversation: none where it has neither text nor calls. */
export function messageOf({ text, toolCalls }: Pick<ChatResult, "text" | "toolCalls">): ChatMessage[] {
  if (text === "" && toolCalls.length === 0) return [];
  const message: ChatMessage = { role: "assistant", content: text };
  return [toolCalls.length > 0 ? { ...message, toolCalls } : message];
}

/**
 * The stages of loading. manifest: reading gemtab.json and the plan; download: downloading, checking and uploading
 * weights; compile: waiting for pipelines, whose compilation starts with the download; ready: done.
 */
export type LoadStage = "manifest" | "download" | "compile" | "ready";

/** The progress of loading. */
export interface LoadProgress {
  /** The current stage. */
  stage: LoadStage;
  /** Bytes of weights that are checked and uploaded. */
  loaded: number;
  /** Bytes of all weights. */
  total: number;
  /** Bytes a second, over the last few seconds. */
  bytesPerSecond: number;
  /** Seconds since the GPU last responded; absent while the GPU responds. */
  stalled?: number;
}

/** The options of loading a model in the worker. */
export interface LoadOptions {
  /** Called as loading goes on. */
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Ends loading with an AbortError. */
  signal?: AbortSignal | undefined;
  /** The caches' size in tokens. Default and maximum: the plan's context. */
  context?: number | undefined;
  /**
   * The maximum bytes of GPU memory for the text model. Throws DeviceError, before any weight is downloaded, where the
   * model needs more. Default: no limit.
   */
  memory?: number | undefined;
  /**
   * Whether per-layer embeddings stay in the browser's storage, from which each step gets the rows that it needs.
   * Answers are the same, but slower. `auto` (default): where the model does not fit into `memory` otherwise, on
   * machines that report little memory, and when the GPU runs out of memory.
   */
  hostEmbeddings?: HostEmbeddingsChoice | undefined;
  /** The type of keys and values in the caches: `f16`, `f32`, or `auto` (default), which is f16 where the GPU has it. */
  plan?: PlanChoice | undefined;
}

/** The choices of a plan. */
export type PlanChoice = (typeof PLAN_CHOICES)[number];

/** The GPU, as the browser describes it. */
export interface AdapterSummary {
  /** The manufacturer; "" where the browser does not state it. */
  vendor: string;
  /** The GPU's architecture; "" where the browser does not state it. */
  architecture: string;
  /** The GPU's name; "" where the browser does not state it. */
  description: string;
  /** Whether the adapter runs on the CPU, which is much slower. */
  software: boolean;
  /** The WebGPU features, sorted. */
  features: string[];
}

/** The engine's allocations on the GPU, in bytes, without snapshots and rows of media. */
export interface EngineStats {
  /** The type of keys and values in the caches. */
  activation: "f32" | "f16";
  /** Where per-layer embeddings are: on the GPU, or on the host. */
  embeddings: Residence;
  /** Weights. */
  weightBytes: number;
  /** Caches. */
  stateBytes: number;
  /** Slots, controls and parameters. */
  scratchBytes: number;
  /** Loaded towers, while they do not encode. */
  towerBytes: number;
  /** The total. */
  gpuBytes: number;
  /** The number of dispatches of each program in the plan, e.g. { fill: 120, decode: 117 }. */
  dispatches: Record<string, number>;
}

/** The page's experience with its GPU. */
export interface GpuHistory {
  /** How often the GPU was lost. */
  losses: number;
  /** The work that an ended worker may have left on the GPU, in words. */
  holder?: string | undefined;
}
