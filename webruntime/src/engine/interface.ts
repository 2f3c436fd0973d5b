/** An engine as the rest of the runtime sees it. Types only: who imports this file alone does not touch the GPU. */

import type { BundleFiles } from "../bundle/files.ts";
import type { DeviceError } from "../errors.ts";
import type { AdapterSummary, EngineStats, LoadOptions, Sampling, TowerName } from "../messages.ts";

/** A copy, on the GPU, of the ring caches at one position. */
export interface Snapshot {
  /** Tokens in the caches when the copy was made. */
  readonly position: number;
  /** GPU bytes of the copy; 0 where the model has no ring caches. */
  readonly bytes: number;
  /** Gives the memory back. The snapshot cannot be restored any more. */
  dispose(): void;
}

/** How `decode` runs. */
export interface DecodeOptions {
  /** No id is given out after the signal fires; the generator then throws AbortError. None by default. */
  signal?: AbortSignal | undefined;
  /** The most ids that are given out; by default as many as fit the context. */
  maxTokens?: number | undefined;
  /**
   * Steps in flight at once, 1 to 8; 3 by default. Fewer run where the rings leave no room for steps that are taken back,
   * and 1 where look-up tables lie on the host. Must be 1 while a constraint edits the sampling.
   */
  depth?: number | undefined;
}

/** Rows of embeddings from a tower, on the engine's GPU: [tokens, hidden] f32. Whoever asked for them disposes of them. */
export interface MediaRows {
  /** Soft tokens, and so rows. */
  readonly tokens: number;
  /** GPU bytes of the rows. */
  readonly bytes: number;
  /** Gives the memory back. */
  dispose(): void;
}

/** Rows for the placeholders at `position` and after. */
export interface PlacedRows {
  /** The position in the caches of the first placeholder. */
  position: number;
  /** The rows, in the order of the placeholders. */
  rows: MediaRows;
  /** Whether the tokens see each other, in models with blocks of images; true for images and video frames. */
  bidirectional: boolean;
}

/** How `fill` runs. */
export interface FillOptions {
  /** The rows of the placeholders among the ids, by ascending position; none by default. */
  media?: readonly PlacedRows[];
  /** No chunk begins after the signal fires; `fill` then throws AbortError. None by default. */
  signal?: AbortSignal | undefined;
  /** Called after each chunk with the ids that were handed to the GPU so far. */
  onChunk?: ((done: number) => void) | undefined;
}

/** The size of a tower's input. */
export interface InputShape {
  /** Soft tokens that the tower makes: rows of embeddings. */
  tokens: number;
  /** Patches or frames of the input. */
  rows: number;
}

/** A model's part that encodes images or audio. */
export interface Tower {
  /**
   * The rows of one image, frame or segment of audio. inputs: by the names of the plan, without padding. Throws
   * UsageError for inputs that do not fit the plan, ContextError for more tokens than the tower takes, and DeviceError
   * where the GPU has no room for the work; everything else goes on then.
   */
  encode(inputs: Readonly<Record<string, Float32Array | Uint32Array>>, shape: InputShape): Promise<MediaRows>;
}

/**
 * A text model on the GPU with one set of caches. Calls must not overlap: await each (and finish or `return()` a
 * generator) before the next; an overlapping call throws UsageError.
 */
export interface TextEngine {
  /** The bundle's manifest, and its files by name. */
  readonly files: BundleFiles;
  /** The GPU as it names itself, and whether it runs on the CPU. */
  readonly adapter: AdapterSummary;
  /** Tokens that the caches may hold. */
  readonly context: number;
  /** Ids that the model knows: 0 to before this number. */
  readonly vocabulary: number;
  /** Tokens in the caches. Steps that run ahead do not count. */
  readonly position: number;
  /** The plan that runs, GPU bytes by kind, and dispatches by program. */
  readonly stats: EngineStats;
  /** By the towers that the bundle has: the most soft tokens of one image or segment of audio. */
  readonly towerTokens: Readonly<Partial<Record<TowerName, number>>>;
  /** The most tokens of an image, where an image's tokens see each other and are filled at once; else undefined. */
  readonly blockTokens: number | undefined;
  /** Resolves, and never rejects, when the GPU device is lost other than by `dispose`. */
  readonly lost: Promise<DeviceError>;
  /** Called with the seconds for which the GPU has not answered, again and again. Nobody is told by default. */
  stalled: ((seconds: number) => void) | undefined;

  /** Sets how the next ids are chosen; greedy by default. The same seed after the same ids gives the same answer. */
  setSampling(sampling: Sampling): void;

  /**
   * Puts `ids` into the caches at `position`, in chunks of the fill program. Throws, before anything runs, ContextError
   * where they do not fit the context or an image does not fit a chunk, and UsageError for media that the plan does not
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

  /** A copy of the rings at the present position; undefined where the GPU has no memory for it. */
  snapshot(): Promise<Snapshot | undefined>;
  /** Returns to the position of `snapshot`. Full caches must still hold the same ids up to there. */
  restore(snapshot: Snapshot): void;
  /** Whether every ring still holds the keys and values that a token at position `to` reads. */
  canRewind(to: number): boolean;
  /** Goes back to position `to`. Throws ContextError where `canRewind` is false. */
  rewind(to: number): void;
  /** Goes to position 0 with empty caches, and counts samples from 0 again. */
  reset(): void;

  /** Recompiles the kernels of one WGSL file with `text`; on an error (DeviceError) the old ones stay. */
  swapShader(file: string, text: string): Promise<void>;
  /** Gives everything on the GPU back. Every later call throws DeviceError. */
  dispose(): void;
}
