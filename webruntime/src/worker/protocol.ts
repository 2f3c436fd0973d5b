/**
 * What page and worker say to each other. The page calls a method with one request; the worker answers with any number
 * of events and then one result or error. The page may abort a call. `transport.ts` carries it.
 */

import type { Manifest } from "../bundle/manifest.gen.ts";
import type { SendOptions, SessionOptions } from "../chat/interface.ts";
import type { ErrorRecord } from "../errors.ts";
import type {
  AdapterSummary,
  ChatEvent,
  ChatMessage,
  ChatResult,
  EngineStats,
  GpuHistory,
  ImageDetail,
  LoadOptions,
  LoadProgress,
  PlanChoice,
  Sampling,
} from "../messages.ts";

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

/** Which bundle, and how: see LoadOptions. */
export interface LoadRequest extends Pick<LoadOptions, "context" | "memory" | "hostEmbeddings" | "plan"> {
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
    /** Bytes of per-layer embeddings in the browser's storage. */
    stored: number;
    /** Those that are added when pictures and sound first come; 0 where the bundle takes text only. */
    towers: number;
    /** Roughly the memory of the whole machine, where the browser says that it is small. */
    machine: number | undefined;
    /** Whether that is so little that the text model may not fit. */
    tight: boolean;
  };
}

export interface SessionRequest extends SessionOptions {
  model: number;
}

export interface SendRequest extends SendOptions {
  session: number;
}

/** Every method of the worker. */
export type Methods = {
  preview: { request: PreviewRequest; event: never; result: BundlePreview };
  load: { request: LoadRequest; event: LoadProgress; result: ModelInfo };
  /** Settles when the model's device is lost, with the reason; never otherwise. */
  lost: { request: { model: number }; event: never; result: ErrorRecord };
  swapShader: { request: { model: number; file: string; text: string }; event: never; result: null };
  unload: { request: { model: number }; event: never; result: null };
  openSession: { request: SessionRequest; event: never; result: { session: number } };
  send: { request: SendRequest; event: ChatEvent; result: ChatResult };
  /** Replaces the conversation: edit, delete, reset, another system prompt, thinking on or off. */
  setMessages: {
    request: { session: number; messages: ChatMessage[]; thinking?: boolean };
    event: never;
    result: null;
  };
  closeSession: { request: { session: number }; event: never; result: null };
};

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
