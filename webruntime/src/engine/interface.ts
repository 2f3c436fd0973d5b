/** The interface of an engine for the rest of the runtime. Types only: this file does not import the GPU code. */

import type { BundleFiles } from "../bundle/files.ts";
import type { DeviceError } from "../errors.ts";
import type { AdapterSummary, EngineStats, LoadOptions, Sampling, TowerName } from "../messages.ts";

/** A copy, on the GPU, of the ring caches at one position. */
export interface Snapshot {
  /** Tokens in the caches when the copy was made. */
  readonly position: number;
  /** GPU bytes of the copy. 0 for a model without ring caches. */
  readonly bytes: number;
  /** Releases the memory. The snapshot cannot be restored any more. */
  dispose(): void;
}

/** Options of `TextEngine.decode`. */
export interface DecodeOptions {
  /** Stops the generator, which then yields no more ids and throws AbortError. None by default. */
  signal?: AbortSignal | undefined;
  /** Most ids that are yielded. By default as many as fit the context. */
  maxTokens?: number | undefined;
  /**
   * Steps in flight, 1 to 8; 3 by default. Fewer run if the rings have no rows for steps that are taken back, and 1 with
   * per-layer embeddings on the host. Must be 1 while a constraint edits the sampling.
   */
  depth?: number | undefined;
}

/** Rows of embeddings from a tower, on the engine's GPU: [tokens, hidden] f32. The caller of `encode` disposes of them. */
export interface MediaRows {
  /** Soft tokens: the number of rows. */
  readonly tokens: number;
  /** GPU bytes of the rows. */
  readonly bytes: number;
  /** Releases the memory. */
  dispose(): void;
}

/** Rows for consecutive placeholders of a prompt. */
export interface PositionedRows {
  /** The position in the caches of the first placeholder. */
  position: number;
  /** The rows, in the order of the placeholders. */
  rows: MediaRows;
  /** Whether the tokens see each other: those of an image or a frame, in models with the control buffer `visible`. */
  bidirectional: boolean;
}

/** Options of `TextEngine.fill`. */
export interface FillOptions {
  /** Rows of the placeholders among the ids, by ascending position. None by default. */
  media?: readonly PositionedRows[];
  /** Stops `fill` before the next chunk; it then throws AbortError. None by default. */
  signal?: AbortSignal | undefined;
  /** Called after each chunk with the number of ids submitted so far. None by default. */
  onChunk?: ((done: number) => void) | undefined;
}

/** The size of a tower's input. */
export interface InputShape {
  /** Soft tokens that the tower makes: rows of embeddings. */
  tokens: number;
  /** Patches or frames of the input. */
  rows: number;
}

/** A tower: the part of a model that encodes images or audio. */
export interface Tower {
  /**
   * Encodes one image, frame or segment of audio. Returns its rows.
   *
   * @param inputs inputs of the plan by name, without padding
   * @throws UsageError for inputs that do not fit the plan, ContextError for more tokens than the tower takes, and
   * DeviceError if the GPU has no memory for the work. The engine still works then.
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
  /** Most tokens of the caches. */
  readonly context: number;
  /** The number of token ids. */
  readonly vocabulary: number;
  /** Tokens in the caches. Steps that run ahead do not count. */
  readonly position: number;
  /** The plan that runs, GPU bytes by kind, and dispatches by program. */
  readonly stats: EngineStats;
  /** Most soft tokens of one image or segment of audio, by the bundle's towers. */
  readonly towerTokens: Readonly<Partial<Record<TowerName, number>>>;
  /** Most tokens of an image whose tokens see each other and are filled at once; undefined for other models. */
  readonly blockTokens: number | undefined;
  /** Resolves, and never rejects, when the GPU device is lost other than by `dispose`. */
  readonly lost: Promise<DeviceError>;
  /** Called repeatedly while the GPU does not answer, with the seconds so far. None by default. */
  stalled: ((seconds: number) => void) | undefined;

  /** Sets how further ids are chosen; greedy by default. The same seed after the same ids gives the same answer. */
  setSampling(sampling: Sampling): void;

  /**
   * Fills the caches with `ids` from `position` on, in chunks of the program `fill`.
   *
   * Throws, before anything runs, ContextError if the ids do not fit the context or an image does not fit a chunk, and
   * UsageError for media that the plan does not take. After AbortError, or ContextError because the GPU has no memory for
   * longer caches, `position` counts the ids in the caches.
   */
  fill(ids: Uint32Array, options?: FillOptions): Promise<void>;

  /**
   * The tower of that name. The first call loads its weights and shaders.
   *
   * @throws UsageError if the bundle has no such tower, DeviceError if the GPU is too small for it, BundleError and
   * AbortError. The engine still works then.
   */
  tower(name: TowerName, options?: Omit<LoadOptions, "context">): Promise<Tower>;

  /**
   * Decodes from `id` on: puts `id` into the caches, samples the next id, yields it, puts it into the caches, and so on.
   *
   * Ends after maxTokens ids, when the context is full, or when the GPU has no memory for longer caches; without memory for
   * the first step it throws ContextError. After k ids, `position` has advanced by k: the k-th id is not in the caches yet.
   * End the loop (break, return) at a stop id: steps that ran ahead are taken back. To force tokens, use maxTokens 1 and
   * call again with another id.
   */
  decode(id: number, options?: DecodeOptions): AsyncGenerator<number, void, void>;

  /** Logits [vocabulary], f32, of the last decode step. After a decode with depth 1 it is that of the last yielded id. */
  readLogits(): Promise<Float32Array>;

  /** Copies the rings at the present position. Undefined if the GPU has no memory for the copy. */
  snapshot(): Promise<Snapshot | undefined>;
  /** Restores the state saved in `snapshot`. Full caches must still hold the same ids up to its position. */
  restore(snapshot: Snapshot): void;
  /** Whether every ring still holds the keys and values that a token at position `to` reads. */
  canRewind(to: number): boolean;
  /** Goes back to position `to`. Throws ContextError if `canRewind` is false. */
  rewind(to: number): void;
  /** Goes to position 0 with empty caches, and counts samples from 0 again. */
  reset(): void;

  /** Recompiles the kernels of a WGSL file with `text`. Throws DeviceError if one fails; the old ones stay then. */
  swapShader(file: string, text: string): Promise<void>;
  /** Releases everything on the GPU. Every later call throws DeviceError. */
  dispose(): void;
}
