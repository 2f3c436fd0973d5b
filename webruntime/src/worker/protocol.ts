/**
 * The protocol of page and worker. The page calls a method with one request; the worker replies with any number of
 * events, and then one result or error. The page may abort a call. `transport.ts` carries the messages.
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

/** The types of a method. */
export interface Method {
  /** The argument of a call. */
  request: unknown;
  /** Sent while the method runs; never for a method without events. */
  event: unknown;
  /** Sent at the end. */
  result: unknown;
}

/** A loaded model. Loads of the same address on a page share it. */
export interface ModelInfo {
  /** The model's number in the worker. */
  model: number;
  /** The address of the bundle's folder. */
  url: string;
  /** The parsed gemtab.json. */
  manifest: Manifest;
  /** The parsed parity.json that `gemtab verify` writes, or null. */
  parity: unknown;
  /** The size of the context in tokens. */
  context: number;
  /** The GPU. */
  adapter: AdapterSummary;
  /** The engine's allocations on the GPU after loading. */
  stats: EngineStats;
  /** The default sampling, from generation_config.json. */
  sampling: Sampling;
  /**
   * The kinds of content that messages may have: "text", and "image", "audio" and "video" where the bundle takes them.
   */
  inputs: Manifest["inputs"];
  /** The choices for an image's maximum number of tokens, ascending. Empty where the model takes no images. */
  details: ImageDetail[];
}

/** The request of a load: the bundle, and options as in LoadOptions. */
export interface LoadRequest extends Pick<LoadOptions, "context" | "memory" | "hostEmbeddings" | "plan"> {
  /** The address of the bundle. */
  url: string;
  /** The absolute address of the script that reads media. The worker imports the script at the first medium. */
  mediaUrl: string;
  /** The page's experience with its GPU. */
  history: GpuHistory;
}

/** The request of a preview. */
export interface PreviewRequest {
  /** The address of the bundle. */
  url: string;
  /** The choice of a plan. Default: "auto". */
  plan?: PlanChoice | undefined;
  /** The features of the page's GPU; null without a GPU. */
  features: readonly string[] | null;
}

/** The requirements of a bundle, by its own plans. */
export interface BundlePreview {
  /** The parsed gemtab.json. */
  manifest: Manifest;
  /** The bytes of weights that loading downloads. */
  downloadBytes: number;
  /**
   * The reason why the GPU cannot run the bundle, or null. If there is one, all other members describe the plan with
   * the fewest requirements.
   */
  refusal: ErrorRecord | null;
  /** The bundle's memory. */
  memory: {
    /** The bytes of GPU memory of the text model when a conversation fills the bundle's whole context. */
    text: number;
    /** The bytes of per-layer embeddings in the browser's storage. */
    stored: number;
    /** The additional bytes of GPU memory after the first image or audio; 0 where the bundle takes only text. */
    towers: number;
    /** The approximate bytes of the machine's memory, where the browser reports that it is small. */
    machine: number | undefined;
    /** Whether the text model may not fit into the machine's memory. */
    tight: boolean;
  };
}

/** The request of a session. */
export interface SessionRequest extends SessionOptions {
  /** The model's number. */
  model: number;
}

/** The request of an answer. */
export interface SendRequest extends SendOptions {
  /** The session's number. */
  session: number;
}

/** All methods of the worker. */
export type Methods = {
  /** Describes a bundle. */
  preview: { request: PreviewRequest; event: never; result: BundlePreview };
  /** Loads a model, or joins a loaded one. */
  load: { request: LoadRequest; event: LoadProgress; result: ModelInfo };
  /** Resolves with the reason when the model's device is lost. Otherwise never settles. */
  lost: { request: { model: number }; event: never; result: ErrorRecord };
  /** Recompiles one WGSL file. */
  swapShader: { request: { model: number; file: string; text: string }; event: never; result: null };
  /** Ends one use of a model. */
  unload: { request: { model: number }; event: never; result: null };
  /** Opens a session. */
  openSession: { request: SessionRequest; event: never; result: { session: number } };
  /** Answers a session's conversation. */
  send: { request: SendRequest; event: ChatEvent; result: ChatResult };
  /** Replaces the conversation: for edit, delete, reset, another system prompt, and thinking on or off. */
  setMessages: {
    request: { session: number; messages: ChatMessage[]; thinking?: boolean };
    event: never;
    result: null;
  };
  /** Closes a session. */
  closeSession: { request: { session: number }; event: never; result: null };
};

/** The page's messages. ping: asks for a `here`. */
export type PageMessage =
  | { type: "ping" }
  | { type: "call"; call: number; method: string; request: unknown }
  | { type: "abort"; call: number };

/** The worker's messages. here: the first message, and the reply to a ping. */
export type WorkerMessage =
  | { type: "here" }
  | { type: "event"; call: number; event: unknown }
  | { type: "result"; call: number; result: unknown }
  | { type: "error"; call: number; error: ErrorRecord };
