/** What the rest of the runtime sees of an engine. Types only: who imports this file alone does not touch the GPU. */

import type { BundleFiles } from "../bundle/files.ts";
import type { DeviceError } from "../errors.ts";
import type { AdapterSummary, EngineStats, LoadOptions, Sampling, TowerName } from "../messages.ts";

/** A copy, on the GPU, of the ring caches at one position; 0 bytes where the model has none. */
export interface Snapshot {
  readonly position: number;
  readonly bytes: number;
  dispose(): void;
}

export interface DecodeOptions {
  /** No id is given out after it fires; the generator then throws AbortError. */
  signal?: AbortSignal | undefined;
  /** Stop after this many ids. */
  maxTokens?: number | undefined;
  /** Steps in flight at once, 1 to 8; 3 unless told otherwise. Must be 1 while a constraint edits the sampling. */
  depth?: number | undefined;
}

/** What a tower made, on the engine's GPU: [tokens, hidden] f32. Whoever asked for it disposes of it. */
export interface MediaRows {
  readonly tokens: number;
  readonly bytes: number;
  dispose(): void;
}

/** Rows for the placeholders at `position` and after; an image (or frame) may be one whose tokens see each other. */
export interface PlacedRows {
  position: number;
  rows: MediaRows;
  image: boolean;
}

export interface FillOptions {
  /** What stands in the places of placeholders, by positions in the caches and in their order. */
  media?: readonly PlacedRows[];
  signal?: AbortSignal | undefined;
  /** Called with the ids done so far. */
  onChunk?: ((done: number) => void) | undefined;
}

/** tokens: soft tokens, of which there will be as many rows; rows: patches or frames of the input. */
export interface InputShape {
  tokens: number;
  rows: number;
}

export interface Tower {
  /**
   * The rows of one image, frame or stretch of audio. inputs: by the names of the plan, without padding. Throws
   * UsageError for inputs that do not fit the plan, ContextError for more tokens than it takes, and DeviceError when
   * the GPU has no room for it, after which everything else goes on.
   */
  encode(inputs: Readonly<Record<string, Float32Array | Uint32Array>>, shape: InputShape): Promise<MediaRows>;
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
  /** By the towers that the bundle has: how many tokens each encodes at once. */
  readonly towerTokens: Readonly<Partial<Record<TowerName, number>>>;
  /** The most tokens of an image, where an image's tokens see each other and are filled at once. */
  readonly blockTokens: number | undefined;
  /** Resolves, and never rejects, when the GPU device is lost other than by dispose(). */
  readonly lost: Promise<DeviceError>;
  /** Told while the GPU does not come back from its work, in seconds, until it does. */
  stalled: ((seconds: number) => void) | undefined;

  /** The sampling counter starts anew: the same seed after the same ids gives the same answer. */
  setSampling(sampling: Sampling): void;

  /**
   * Puts `ids` into the caches at `position`, in chunks of the fill program. Throws, before anything runs, ContextError
   * when they do not fit the context or an image does not fit a chunk, and UsageError for media that the plan does not
   * take. On AbortError, and on ContextError where the GPU has no memory for longer caches, `position` tells how many
   * went in.
   */
  fill(ids: Uint32Array, options?: FillOptions): Promise<void>;

  /**
   * The tower of that name; its weights and shaders are loaded when it is first asked for. Throws UsageError where the
   * bundle has none, DeviceError where the GPU is too small for it, BundleError and AbortError; the rest goes on.
   */
  tower(name: TowerName, options?: Omit<LoadOptions, "context">): Promise<Tower>;

  /**
   * Puts `id` into the cache, samples the next id, yields it, puts that into the cache, and so on; ends at maxTokens,
   * when the context is full, or when the GPU has no memory for longer caches. Throws ContextError where it has none for
   * the first step. After k ids came out, `position` has advanced by k: the k-th is not in the caches yet. End the loop
   * (break, return) at a stop id: steps that ran ahead are taken back. To force tokens, use maxTokens 1 and call again
   * with another id.
   */
  decode(id: number, options?: DecodeOptions): AsyncGenerator<number, void, void>;

  /** Logits [vocabulary] of the last decode step; after a decode with depth 1 that is the last id yielded. */
  readLogits(): Promise<Float32Array>;

  /** A copy of the rings as they are; undefined where the GPU has no memory for it. */
  snapshot(): Promise<Snapshot | undefined>;
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
