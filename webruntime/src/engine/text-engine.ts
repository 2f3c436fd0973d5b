/** The engine: a plan loaded onto the GPU, with its caches, run step by step. */

import type { Bundle } from "../bundle/bundle.ts";
import { isFor } from "../bundle/dispatches.ts";
import type { Program } from "../bundle/plan.gen.ts";
import {
  ContextError,
  causeOf,
  DeviceError,
  isTyped,
  OutOfMemoryError,
  throwIfAborted,
  UsageError,
} from "../errors.ts";
import type { AdapterSummary, EngineStats, LoadOptions, Sampling, TowerName } from "../messages.ts";
import { type OnStall, watched } from "../patience.ts";
import { CachePosition } from "./cache-position.ts";
import { checked, deviceLost, lossOr, lost } from "./device.ts";
import type {
  DecodeOptions,
  FillOptions,
  PlacedRows,
  Snapshot,
  TextEngine as TextEngineInterface,
  Tower,
} from "./interface.ts";
import { type EngineLoadOptions, loadEngine, type Parts } from "./load-engine.ts";
import { chunks, lastVisible, RowsBuffer, type Span, spanOf } from "./media.ts";
import type { ReadyProgram } from "./program.ts";
import { readFloats, WordReadback } from "./readback.ts";
import { RingSnapshot } from "./ring-snapshot.ts";
import { Towers } from "./towers.ts";

/** Steps in flight: the default hides the way of an id back from the GPU; more only adds work to take back. */
const DEFAULT_DEPTH = 3;
const MAX_DEPTH = 8;
/** Chunks of a prompt in flight: one runs while the next is being encoded, and an abort waits for no more. */
const CHUNKS_IN_FLIGHT = 2;
const WORD = 4;

export class TextEngine implements TextEngineInterface {
  readonly lost: Promise<DeviceError>;
  stalled: OnStall | undefined;
  readonly #parts: Parts;
  readonly #device: GPUDevice;
  readonly #cache: CachePosition;
  readonly #readback: WordReadback;
  readonly #towers: Towers;
  /** Ids sampled so far: the GPU counts along, and draws its random numbers by it. */
  #sampled = 0;
  #failure: DeviceError | undefined;
  /** The call that is going on. */
  #busy: string | undefined;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.#device = parts.device;
    const buffers = Object.values(parts.plan.buffers);
    this.#cache = new CachePosition(buffers.flatMap((buffer) => (buffer.kind === "state" && buffer.ring) || []));
    this.#readback = new WordReadback(parts.device, Math.min(MAX_DEPTH, this.#cache.slack + 1));
    this.#towers = new Towers(parts.bundle, parts.towers, {
      device: parts.device,
      acquire: (call) => this.#acquire(call),
      settled: (work) => this.#settled(work),
    });
    this.lost = deviceLost(parts.device);
    void this.lost.then((error) => {
      this.#failure = error;
    });
    this.setSampling({ temperature: 0, topK: 0, topP: 1, seed: 0 });
  }

  /**
   * Loads the bundle at `url` onto the GPU. Throws BundleError, UsageError, DeviceError or AbortError; nothing stays on the
   * GPU then.
   *
   * @param gpu where adapters come from; the browser's own unless told otherwise
   * @param history what the page saw of its GPU before
   */
  static async load(url: string, options: EngineLoadOptions = {}): Promise<TextEngine> {
    return new TextEngine(await loadEngine(url, options));
  }

  get files(): Bundle {
    return this.#parts.bundle;
  }

  get adapter(): AdapterSummary {
    return this.#parts.adapter;
  }

  get context(): number {
    return this.#parts.context;
  }

  get vocabulary(): number {
    return this.#parts.plan.vocabulary;
  }

  get towerTokens(): Partial<Record<TowerName, number>> {
    return this.#towers.tokens;
  }

  get blockTokens(): number | undefined {
    const { buffers, programs } = this.#parts;
    return buffers.has("visible") ? programs.fill.program.max_tokens : undefined;
  }

  get position(): number {
    return this.#cache.position;
  }

  get stats(): EngineStats {
    const { plan, buffers, programs: ready } = this.#parts;
    const { weightBytes, stateBytes } = buffers;
    const scratchBytes = buffers.scratchBytes + ready.fill.paramsBytes + ready.decode.paramsBytes;
    const { bytes: towerBytes } = this.#towers;
    const gpuBytes = weightBytes + stateBytes + scratchBytes + towerBytes;
    const programs = Object.entries(plan.programs);
    const running = (program: Program) => program.dispatches.filter((one) => isFor(one, buffers.tables)).length;
    const dispatches = Object.fromEntries(programs.map(([name, program]) => [name, running(program)]));
    return {
      activation: plan.activation,
      tables: buffers.tables,
      weightBytes,
      stateBytes,
      scratchBytes,
      towerBytes,
      gpuBytes,
      dispatches,
    };
  }

  setSampling({ temperature, topK, topP, seed }: Sampling): void {
    this.#refuseWhileBusy("setSampling");
    this.#sampled = 0;
    const words = new ArrayBuffer(4 * WORD);
    new Float32Array(words, 0, 1)[0] = temperature;
    new Uint32Array(words, WORD, 1)[0] = topK;
    new Float32Array(words, 2 * WORD, 1)[0] = topP;
    new Uint32Array(words, 3 * WORD, 1)[0] = seed;
    this.#device.queue.writeBuffer(this.#parts.buffers.control("sampling"), 0, words);
  }

  async fill(ids: Uint32Array, { media = [], signal, onChunk }: FillOptions = {}): Promise<void> {
    const start = this.position;
    const whole = { start, end: start + ids.length };
    if (whole.end > this.context) throw contextFull(whole.end, this.context);
    const { fill } = this.#parts.programs;
    const cut = chunks(whole, fill.program.max_tokens, this.#blocks(media));
    this.#checkMedia(media);
    const release = this.#acquire("fill");
    try {
      const inFlight: Promise<void>[] = [];
      for (const chunk of cut) {
        throwIfAborted(signal);
        const tokens = chunk.end - chunk.start;
        const step = ids.subarray(chunk.start - start, chunk.end - start);
        await this.#reach(fill, tokens, chunk.start);
        await this.#writeRows(step);
        this.#writeStep(step);
        this.#putMedia(chunk, media);
        this.#submit(fill, tokens, chunk.start);
        this.#cache.wrote(tokens);
        this.#cache.position += tokens;
        inFlight.push(this.#device.queue.onSubmittedWorkDone());
        if (inFlight.length === CHUNKS_IN_FLIGHT) await this.#settled(inFlight.shift());
        onChunk?.(chunk.end - start);
      }
      await this.#settled(Promise.all(inFlight));
    } finally {
      release();
    }
  }

  /** Where images are whose tokens see each other. */
  #blocks(media: readonly PlacedRows[]): Span[] {
    return this.blockTokens === undefined ? [] : media.filter(({ image }) => image).map(spanOf);
  }

  #checkMedia(media: readonly PlacedRows[]): void {
    if (media.length > 0 && !this.#parts.buffers.has("media")) {
      throw new UsageError("This bundle takes text only. Export the checkpoint with the parts that see and hear.");
    }
    if (media.every(({ rows }) => rows instanceof RowsBuffer)) return;
    throw new UsageError("These rows were not made by a tower of this engine.");
  }

  /** Makes ready what stands in the places of a chunk's placeholders, and how far its tokens see. */
  #putMedia(chunk: Span, media: readonly PlacedRows[]): void {
    const { buffers } = this.#parts;
    const encoder = this.#device.createCommandEncoder({ label: "media" });
    for (const { position, rows } of media as readonly (PlacedRows & { rows: RowsBuffer })[]) {
      const begin = Math.max(position, chunk.start);
      const count = Math.min(position + rows.tokens, chunk.end) - begin;
      if (count <= 0) continue;
      const [from, to] = [(begin - position) * rows.rowBytes, (begin - chunk.start) * rows.rowBytes];
      encoder.copyBufferToBuffer(rows.buffer, from, buffers.control("media"), to, count * rows.rowBytes);
    }
    this.#device.queue.submit([encoder.finish()]);
    if (!buffers.has("visible")) return;
    this.#device.queue.writeBuffer(buffers.control("visible"), 0, lastVisible(chunk, this.#blocks(media)));
  }

  async tower(name: TowerName, options: Omit<LoadOptions, "context"> = {}): Promise<Tower> {
    this.#refuseWhileBusy("tower");
    return this.#towers.get(name, options);
  }

  async *decode(
    id: number,
    { signal, maxTokens = Number.POSITIVE_INFINITY, depth = DEFAULT_DEPTH }: DecodeOptions = {},
  ): AsyncGenerator<number, void, void> {
    const release = this.#acquire("decode");
    const start = this.position;
    const firstSample = this.#sampled;
    let steps = Math.min(maxTokens, this.context - start);
    // Rows of a table on the host can be written only once the id is back from the GPU.
    const ahead = this.#parts.hostTables ? 1 : Math.max(1, Math.min(depth, this.#readback.size));
    const inFlight: Promise<number>[] = [];
    let submitted = 0;
    let given = 0;
    let last = id;
    try {
      if (steps > 0) this.#writeStep(Uint32Array.of(id));
      while (given < steps) {
        throwIfAborted(signal);
        while (inFlight.length < ahead && submitted < steps) {
          try {
            await this.#reach(this.#parts.programs.decode, 1, start + submitted);
          } catch (error) {
            // What was said stays, as at the end of the context.
            if (submitted === 0 || !(error instanceof ContextError)) throw error;
            steps = submitted;
            break;
          }
          await this.#writeRows(Uint32Array.of(last));
          inFlight.push(this.#decodeStep(start + submitted, firstSample + submitted));
          submitted++;
        }
        if (inFlight.length === 0) break;
        const sampled = await this.#settled(inFlight.shift() as Promise<number>);
        throwIfAborted(signal);
        given++;
        this.#cache.position = start + given;
        this.#sampled = firstSample + given;
        last = sampled;
        yield sampled;
      }
    } finally {
      // Steps that ran ahead wrote rows beyond the position; the next step writes over them.
      await Promise.allSettled(inFlight);
      release();
    }
  }

  /** One step whose input the step before it has left on the GPU; gives the id it samples. */
  #decodeStep(position: number, sample: number): Promise<number> {
    const { buffers, plan, programs } = this.#parts;
    let read: (() => Promise<number>) | undefined;
    this.#submit(programs.decode, 1, position, (encoder) => {
      read = this.#readback.encode(encoder, buffers.control("sampled"), (sample % plan.sampled_ring) * WORD);
    });
    this.#cache.wrote(position + 1 - this.position);
    return (read as () => Promise<number>)();
  }

  async readLogits(): Promise<Float32Array> {
    const { buffers, plan } = this.#parts;
    const output = plan.programs.decode?.outputs.logits;
    if (!output) throw new UsageError("The plan's decode program has no output called logits.");
    const { buffer } = buffers.binding(output);
    return this.#settled(readFloats(this.#device, buffer, plan.vocabulary * WORD));
  }

  async snapshot(): Promise<Snapshot | undefined> {
    const release = this.#acquire("snapshot");
    let made: RingSnapshot | undefined;
    try {
      return await checked(this.#device, "a snapshot", () => {
        made = new RingSnapshot(this.#device, this.#parts.buffers.rings(), this.#cache.mark());
        return made;
      });
    } catch (error) {
      made?.dispose();
      if (error instanceof OutOfMemoryError) return undefined;
      throw error;
    } finally {
      release();
    }
  }

  restore(snapshot: Snapshot): void {
    this.#refuseWhileBusy("restore");
    if (!(snapshot instanceof RingSnapshot)) throw new UsageError("This snapshot was not taken by this engine.");
    snapshot.copyBack(this.#device);
    this.#cache.restore(snapshot.mark);
  }

  canRewind(to: number): boolean {
    return this.#cache.canRewind(to);
  }

  rewind(to: number): void {
    this.#refuseWhileBusy("rewind");
    this.#cache.rewind(to);
  }

  reset(): void {
    this.#refuseWhileBusy("reset");
    this.#cache.reset();
    this.#sampled = 0;
  }

  async swapShader(file: string, text: string): Promise<void> {
    await this.#parts.pipelines.swap(file, text);
    await this.#towers.swapShader(file, text);
  }

  dispose(): void {
    this.#failure ??= new DeviceError("The engine was disposed of. Load the model again.");
    this.#device.destroy();
  }

  /** Has the caches grow so far; they are as they were where the GPU has no room for that. */
  async #reach({ program }: ReadyProgram, tokens: number, position: number): Promise<void> {
    await this.#parts.buffers.reach(program, { T: tokens, P: position }).catch((error: unknown) => {
      if (!(error instanceof OutOfMemoryError)) throw error;
      throw new ContextError(
        `The GPU has no memory for a conversation of more than ${position} tokens. Start a new one, or close other ` +
          "tabs that use the GPU.",
      );
    });
  }

  /** The tokens' rows of tables that lie on the host. */
  async #writeRows(ids: Uint32Array): Promise<void> {
    const { buffers, hostTables } = this.#parts;
    if (!hostTables) return;
    const { places, writes } = await hostTables.place(ids);
    for (const { buffer, offset, bytes } of writes) {
      this.#device.queue.writeBuffer(buffers.binding(buffer).buffer, offset, bytes);
    }
    this.#device.queue.writeBuffer(buffers.control("places"), 0, places);
  }

  /** The step's position, tokens and count, and its ids. */
  #writeStep(ids: Uint32Array): void {
    const { queue } = this.#device;
    const step = Uint32Array.of(this.position, ids.length, this.#sampled, 0);
    queue.writeBuffer(this.#parts.buffers.control("step"), 0, step);
    queue.writeBuffer(this.#parts.buffers.control("ids"), 0, new Uint32Array(ids));
  }

  /** Encodes and submits one step; what WebGPU finds wrong with it is thrown by the next `#settled`. */
  #submit(program: ReadyProgram, tokens: number, position: number, after?: (encoder: GPUCommandEncoder) => void): void {
    const stage = `${program.name} at position ${position}, ${tokens} tokens`;
    const errors = checked(this.#device, stage, () => {
      const encoder = this.#device.createCommandEncoder({ label: stage });
      program.encode(encoder, { T: tokens, P: position, C: this.context });
      after?.(encoder);
      this.#device.queue.submit([encoder.finish()]);
    });
    errors.catch(async (error: unknown) => {
      const failure = await lossOr(
        this.#device,
        error instanceof DeviceError ? error : new DeviceError(causeOf(error)),
      );
      this.#failure ??= failure;
    });
  }

  /** The value of work on the GPU, or the DeviceError by which it failed. */
  async #settled<T>(work: Promise<T> | undefined): Promise<T> {
    const value = await watched(Promise.resolve(work), this.stalled).catch(async (error: unknown) => {
      this.#failure ??= isTyped(error) ? (error as DeviceError) : await lossOr(this.#device, lost(causeOf(error)));
      throw this.#failure;
    });
    if (this.#failure) throw this.#failure;
    return value as T;
  }

  #refuseWhileBusy(call: string): void {
    if (this.#failure) throw this.#failure;
    if (this.#busy) throw new UsageError(`${call} was called while ${this.#busy} was going on. Await that first.`);
  }

  #acquire(call: string): () => void {
    this.#refuseWhileBusy(call);
    this.#busy = call;
    return () => {
      this.#busy = undefined;
    };
  }
}

function contextFull(tokens: number, context: number): ContextError {
  return new ContextError(
    `The conversation has ${tokens} tokens, but the context holds ${context}. Shorten it or start a new one.`,
  );
}
