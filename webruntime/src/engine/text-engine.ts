/** The text model of a bundle on the GPU: combines runner, caches, load and decode. */

import type { Bundle } from "../bundle/bundle.ts";
import type { DeviceError } from "../errors.ts";
import type { AdapterSummary, EngineStats, LoadOptions, Sampling, TowerName } from "../messages.ts";
import type { OnStall } from "../patience.ts";
import type { Caches } from "./caches.ts";
import { Decoder } from "./decode.ts";
import { attempted } from "./device.ts";
import { fill } from "./fill.ts";
import type { DecodeOptions, FillOptions, Snapshot, TextEngine as TextEngineInterface, Tower } from "./interface.ts";
import { type EngineLoadOptions, type LoadedText, loadText } from "./load.ts";
import type { PlanRunner } from "./runner.ts";
import type { TextRunner } from "./text-runner.ts";
import { Towers } from "./towers.ts";
import type { GpuWork } from "./work.ts";

/**
 * A text model on the GPU with one set of caches. Calls must not overlap: await each (and finish or `return()` a
 * generator) before the next; an overlapping call throws UsageError. After a loss of the GPU, or `dispose`, every call
 * throws DeviceError.
 */
export class TextEngine implements TextEngineInterface {
  /** The bundle's manifest, and its files by name. */
  readonly files: Bundle;
  /** The GPU as it names itself, and whether it runs on the CPU. */
  readonly adapter: AdapterSummary;
  readonly #text: TextRunner;
  readonly #decoder: Decoder;
  readonly #towers: Towers;
  readonly #work: GpuWork;

  private constructor({ bundle, adapter, text, towers }: LoadedText) {
    this.files = bundle;
    this.adapter = adapter;
    this.#text = text;
    this.#work = text.runner.work;
    this.#decoder = new Decoder(text);
    this.#towers = new Towers(this.#work, bundle, towers);
  }

  /**
   * Loads the bundle at `url` onto the GPU.
   *
   * @throws BundleError, UsageError, DeviceError, StorageError or AbortError. Nothing stays on the GPU then.
   */
  static async load(url: string, options: EngineLoadOptions = {}): Promise<TextEngine> {
    const loaded = await loadText(url, options);
    try {
      return attempted("the engine's buffers", () => new TextEngine(loaded));
    } catch (error) {
      loaded.text.runner.device.destroy();
      throw error;
    }
  }

  /** The plan's buffers and programs. @internal */
  get runner(): PlanRunner {
    return this.#text.runner;
  }

  /** The keys and values of the tokens so far. A draft model may be loaded on them. @internal */
  get caches(): Caches {
    return this.#text.caches;
  }

  /** Most tokens of the caches. */
  get context(): number {
    return this.caches.context;
  }

  /** The number of token ids. */
  get vocabulary(): number {
    return this.#text.plan.vocabulary;
  }

  /** Most soft tokens of one image or segment of audio, by the bundle's towers. */
  get towerTokens(): Partial<Record<TowerName, number>> {
    return this.#towers.tokens;
  }

  /** Most tokens of an image whose tokens see each other and are filled at once; undefined for other models. */
  get blockTokens(): number | undefined {
    return this.#text.blockTokens;
  }

  /** Tokens in the caches. Steps that run ahead do not count. */
  get position(): number {
    return this.caches.position;
  }

  /** The plan that runs, GPU bytes by kind, and dispatches by program. */
  get stats(): EngineStats {
    const { plan, embeddings, dispatches, memory } = this.runner;
    const { weights: weightBytes, state: stateBytes, scratch: scratchBytes } = memory;
    const { bytes: towerBytes } = this.#towers;
    const gpuBytes = weightBytes + stateBytes + scratchBytes + towerBytes;
    return {
      activation: plan.activation,
      embeddings,
      weightBytes,
      stateBytes,
      scratchBytes,
      towerBytes,
      gpuBytes,
      dispatches,
    };
  }

  /** Resolves, and never rejects, when the GPU device is lost other than by `dispose`. */
  get lost(): Promise<DeviceError> {
    return this.#work.lost;
  }

  /** Called repeatedly while the GPU does not answer, with the seconds so far. None by default. */
  get stalled(): OnStall | undefined {
    return this.#work.stalled;
  }

  set stalled(onStall: OnStall | undefined) {
    this.#work.stalled = onStall;
  }

  /** Sets how further ids are chosen; greedy by default. The same seed after the same ids gives the same answer. */
  setSampling(sampling: Sampling): void {
    this.#work.refuse("setSampling");
    this.#decoder.setSampling(sampling);
  }

  /**
   * Fills the caches with `ids` from `position` on, in chunks of the program `fill`.
   *
   * Throws, before anything runs, ContextError if the ids do not fit the context or an image does not fit a chunk, and
   * UsageError for media that the plan does not take. After AbortError, or ContextError because the GPU has no memory for
   * longer caches, `position` counts the ids in the caches.
   */
  fill(ids: Uint32Array, options?: FillOptions): Promise<void> {
    return fill(this.#text, ids, options);
  }

  /**
   * The tower of that name. The first call loads its weights and shaders.
   *
   * @throws UsageError if the bundle has no such tower, DeviceError if the GPU is too small for it, BundleError and
   * AbortError. The engine still works then.
   */
  async tower(name: TowerName, options: Omit<LoadOptions, "context"> = {}): Promise<Tower> {
    this.#work.refuse("tower");
    return this.#towers.get(name, options);
  }

  /**
   * Decodes from `id` on: puts `id` into the caches, samples the next id, yields it, puts it into the caches, and so on.
   *
   * Ends after maxTokens ids, when the context is full, or when the GPU has no memory for longer caches; without memory for
   * the first step it throws ContextError. After k ids, `position` has advanced by k: the k-th id is not in the caches yet.
   * End the loop (break, return) at a stop id: steps that ran ahead are taken back.
   */
  decode(id: number, options?: DecodeOptions): AsyncGenerator<number, void, void> {
    return this.#decoder.run(id, options);
  }

  /** Logits [vocabulary], f32, of the last decode step. After a decode with depth 1 it is that of the last yielded id. */
  readLogits(): Promise<Float32Array> {
    return this.#decoder.readLogits();
  }

  /** Copies the rings at the present position. Undefined if the GPU has no memory for the copy. */
  async snapshot(): Promise<Snapshot | undefined> {
    const end = this.#work.begin("snapshot");
    try {
      return await this.caches.snapshot();
    } finally {
      end();
    }
  }

  /**
   * Restores the state saved in `snapshot`. Full caches must still hold the same ids up to its position. Throws UsageError
   * for an object that is no snapshot of an engine.
   */
  restore(snapshot: Snapshot): void {
    this.#work.refuse("restore");
    this.caches.restore(snapshot);
  }

  /** Whether every ring still holds the keys and values that a token at position `to` reads. */
  canRewind(to: number): boolean {
    return this.caches.canRewind(to);
  }

  /** Goes back to position `to`. Throws ContextError if `canRewind` is false. */
  rewind(to: number): void {
    this.#work.refuse("rewind");
    this.caches.rewind(to);
  }

  /** Goes to position 0 with empty caches, and counts samples from 0 again. */
  reset(): void {
    this.#work.refuse("reset");
    this.caches.reset();
    this.#decoder.restart();
  }

  /** Recompiles the kernels of a WGSL file with `text`. Throws DeviceError if one fails; the old ones stay then. */
  async swapShader(file: string, text: string): Promise<void> {
    await this.runner.pipelines.swap(file, text);
    await this.#towers.swapShader(file, text);
  }

  /** Releases everything on the GPU. Every later call throws DeviceError. */
  dispose(): void {
    this.#work.dispose();
  }
}
