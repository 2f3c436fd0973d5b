/** What the rest of the runtime sees of the engine: everything above it (input, chat, worker) uses only this file. */

import type { DeviceError } from "./errors.ts";
import type { Manifest } from "./manifest.gen.ts";

/**
 * manifest: reading gemtab.json and the plan; download: fetching, checking and uploading weights; compile: waiting
 * for pipelines, which are made while the weights come in; ready: done.
 */
export type LoadStage = "manifest" | "download" | "compile" | "ready";

/** loaded and total: bytes of weights checked and uploaded; bytesPerSecond: over the last few seconds. */
export interface LoadProgress {
  stage: LoadStage;
  loaded: number;
  total: number;
  bytesPerSecond: number;
}

export interface LoadOptions {
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Tokens the caches hold; at most, and by default, the plan's own context. */
  context?: number | undefined;
}

/** software: the adapter runs on the CPU, which the page says in words. */
export interface AdapterSummary {
  vendor: string;
  architecture: string;
  description: string;
  software: boolean;
  features: string[];
}

/** temperature 0 is greedy; topK 0 keeps as many as the sampler does; topP 1 is off. */
export interface Sampling {
  temperature: number;
  topK: number;
  topP: number;
  seed: number;
}

/** A copy, on the GPU, of the ring caches at one position; 0 bytes where the model has none. */
export interface Snapshot {
  readonly position: number;
  readonly bytes: number;
  dispose(): void;
}

export interface EngineStats {
  activation: "f32" | "f16";
  weightBytes: number;
  stateBytes: number;
  scratchBytes: number;
  /** Dispatches of each program in its plan, e.g. { fill: 120, decode: 117 }. */
  dispatches: Record<string, number>;
}

export interface DecodeOptions {
  /** No id is given out after it fires; the generator then throws AbortError. */
  signal?: AbortSignal | undefined;
  /** Stop after this many ids. */
  maxTokens?: number | undefined;
  /** Steps in flight at once, 1 to 8; 3 unless told otherwise. Must be 1 while a constraint edits the sampling. */
  depth?: number | undefined;
}

/** The files of a loaded bundle, each checked against the manifest before it is given out. */
export interface BundleFiles {
  readonly url: string;
  readonly manifest: Manifest;
  has(file: string): boolean;
  text(file: string, signal?: AbortSignal): Promise<string>;
  json(file: string, signal?: AbortSignal): Promise<unknown>;
}

/**
 * A text model on the GPU with one set of caches. Calls must not overlap: await each (and finish or `return()` a
 * generator) before the next; an overlapping call throws UsageError.
 */
export interface TextEngine {
  readonly files: BundleFiles;
  readonly adapter: AdapterSummary;
  readonly context: number;
  readonly vocabulary: number;
  /** Ids in the caches, as the caller sees it: run-ahead steps do not count. */
  readonly position: number;
  readonly stats: EngineStats;
  /** Resolves, and never rejects, when the GPU device is lost other than by dispose(). */
  readonly lost: Promise<DeviceError>;

  /** The sampling counter starts anew: the same seed after the same ids gives the same answer. */
  setSampling(sampling: Sampling): void;

  /**
   * Puts `ids` into the caches at `position`, in chunks of the fill program. onChunk gets the ids done so far.
   * Throws ContextError, before anything runs, when they do not fit the context. On AbortError `position` tells how
   * many went in.
   */
  fill(ids: Uint32Array, options?: { signal?: AbortSignal; onChunk?: (done: number) => void }): Promise<void>;

  /**
   * Puts `id` into the cache, samples the next id, yields it, puts that into the cache, and so on; ends at maxTokens or
   * when the context is full. After k ids came out, `position` has advanced by k: the k-th is not in the caches yet.
   * End the loop (break, return) at a stop id: steps that ran ahead are taken back. To force tokens, use
   * maxTokens 1 and call again with another id.
   */
  decode(id: number, options?: DecodeOptions): AsyncGenerator<number, void, void>;

  /** Logits [vocabulary] of the last decode step; after a decode with depth 1 that is the last id yielded. */
  readLogits(): Promise<Float32Array>;

  snapshot(): Snapshot;
  /** Rings and position become those of the snapshot. Full caches must still hold the same ids up to there. */
  restore(snapshot: Snapshot): void;
  /** Whether every ring still holds what a reader at position `to` looks back on. */
  canRewind(to: number): boolean;
  /** Throws ContextError when !canRewind(to). */
  rewind(to: number): void;
  /** Position 0; caches and sampling counter start anew. */
  reset(): void;

  /** Recompiles the kernels of one WGSL file with `text`; on an error (DeviceError) the old ones stay. */
  swapShader(file: string, text: string): Promise<void>;
  dispose(): void;
}
