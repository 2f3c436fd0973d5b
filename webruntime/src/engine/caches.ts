/** The caches of a model: keys and values of the tokens so far, and how far they go. */

import type { Plan, StateBuffer } from "../bundle/plan.gen.ts";
import { allocated } from "../bundle/plan-memory.ts";
import { bindingBytes } from "../bundle/plan-sizes.ts";
import { BundleError, ContextError, OutOfMemoryError, UsageError } from "../errors.ts";
import { CachePosition } from "./cache-position.ts";
import { attempted, checked } from "./device.ts";
import type { Snapshot } from "./interface.ts";
import { RingSnapshot } from "./ring-snapshot.ts";

/**
 * The state buffers of a plan on a device. Each is made, zeroed, before the step that first reaches it.
 *
 * A second plan whose state buffers are among these, a draft model's for instance, may run on the same caches.
 */
export class Caches {
  readonly #entries: ReadonlyMap<string, StateBuffer>;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #position: CachePosition;

  /** @param context tokens that the caches may hold, at most the plan's */
  constructor(
    private readonly device: GPUDevice,
    plan: Plan,
    readonly context: number,
  ) {
    this.#entries = new Map(stateBuffers(plan));
    this.#position = new CachePosition([...this.#entries.values()].flatMap(({ ring }) => ring ?? []));
  }

  /** Throws BundleError where `plan` has state buffers that these caches lack, or have in another shape. */
  check(plan: Plan): void {
    for (const [name, entry] of stateBuffers(plan)) {
      if (JSON.stringify(this.#entries.get(name)) === JSON.stringify(entry)) continue;
      throw new BundleError(
        `The plan's cache ${name} is not one of the caches that the plan is to run on: the two models do not belong ` +
          "together. Export them as one bundle.",
      );
    }
  }

  /** GPU bytes of the buffers that were made so far. */
  get bytes(): number {
    return Array.from(this.#buffers.values(), ({ size }) => size).reduce((sum, size) => sum + size, 0);
  }

  /** Gives the memory of all buffers back. */
  dispose(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#buffers.clear();
  }

  // --- growth ---

  /** The buffer of a cache. Throws UsageError where `ensure` did not make the buffer before. */
  buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (!buffer) throw new UsageError(`The cache ${name} is used before it was made.`);
    return buffer;
  }

  /** Of the named buffers, those that are caches and not there yet. */
  missing(names: Iterable<string>): string[] {
    return [...new Set(names)].filter((name) => this.#entries.has(name) && !this.#buffers.has(name));
  }

  /**
   * Makes those of the named buffers that are caches and not there yet. Throws OutOfMemoryError where the GPU has no
   * room for all of them, and makes none then.
   *
   * @param tokens the tokens for which they are needed, which the error tells
   */
  async ensure(names: Iterable<string>, tokens: number): Promise<void> {
    const missing = this.missing(names);
    if (missing.length === 0) return;
    try {
      await checked(this.device, `caches of ${tokens} tokens`, () => {
        for (const name of missing) this.#buffers.set(name, this.#create(name));
      });
    } catch (error) {
      for (const name of missing) {
        this.#buffers.get(name)?.destroy();
        this.#buffers.delete(name);
      }
      throw error;
    }
  }

  #create(name: string): GPUBuffer {
    const entry = this.#entries.get(name) as StateBuffer;
    const size = allocated(bindingBytes(entry, { T: 1, P: this.context, C: this.context }));
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    return this.device.createBuffer({ label: name, size, usage });
  }

  // --- position ---

  /** Tokens in the caches: the position of the next one. Steps that run ahead do not count. */
  get position(): number {
    return this.#position.position;
  }

  /** The largest number of steps that may run ahead and still be taken back. Infinity where no cache is a ring. */
  get slack(): number {
    return this.#position.slack;
  }

  /** Throws ContextError where so many more tokens do not fit the context. */
  checkRoom(tokens: number): void {
    const end = this.position + tokens;
    if (end <= this.context) return;
    throw new ContextError(
      `The conversation has ${end} tokens, but the context holds ${this.context}. Shorten it or start a new one.`,
    );
  }

  /** Takes note of a step that writes the positions to before `end`. `advance` tells how many of them stay. */
  wrote(end: number): void {
    this.#position.wrote(end - this.position);
  }

  /** Counts tokens whose keys and values steps have written. */
  advance(tokens: number): void {
    this.#position.position += tokens;
  }

  /** Whether every ring still holds the keys and values that a token at position `to` reads. */
  canRewind(to: number): boolean {
    return this.#position.canRewind(to);
  }

  /** Goes back to position `to`. Throws ContextError where `canRewind` is false. */
  rewind(to: number): void {
    this.#position.rewind(to);
  }

  /** Starts over with empty caches. Their memory stays. */
  reset(): void {
    this.#position.reset();
  }

  // --- snapshots ---

  /** Copies the rings, so that `restore` can go back to the present position. Undefined where the GPU has no room. */
  async snapshot(): Promise<RingSnapshot | undefined> {
    const rings = [...this.#buffers].flatMap(([name, buffer]) => (this.#entries.get(name)?.ring ? buffer : []));
    let made: RingSnapshot | undefined;
    try {
      return await checked(this.device, "a snapshot", () => {
        made = new RingSnapshot(this.device, rings, this.#position.mark());
        return made;
      });
    } catch (error) {
      made?.dispose();
      if (error instanceof OutOfMemoryError) return undefined;
      throw error;
    }
  }

  /**
   * Returns to the position of `snapshot`. Full caches must still hold the same tokens up to there. Throws UsageError
   * for a snapshot that no engine took.
   */
  restore(snapshot: Snapshot): void {
    if (!(snapshot instanceof RingSnapshot)) throw new UsageError("This snapshot was not taken by this engine.");
    attempted("a snapshot", () => snapshot.copyBack(this.device));
    this.#position.restore(snapshot.mark);
  }
}

function stateBuffers(plan: Plan): [name: string, entry: StateBuffer][] {
  return Object.entries(plan.buffers).flatMap(([name, entry]): [string, StateBuffer][] =>
    entry.kind === "state" ? [[name, entry]] : [],
  );
}
