/** The caches of a model: keys and values of the tokens so far, and the position. */

import type { Plan, StateBuffer } from "../bundle/plan.gen.ts";
import { allocated } from "../bundle/plan-memory.ts";
import { bindingBytes } from "../bundle/plan-sizes.ts";
import { BundleError, ContextError, OutOfMemoryError, UsageError } from "../errors.ts";
import { CachePosition } from "./cache-position.ts";
import { attempted, checked } from "./device.ts";
import type { Snapshot } from "./interface.ts";
import { RingSnapshot } from "./ring-snapshot.ts";

/**
 * The state buffers of a plan on a device. Each is created, zeroed, before the first step that uses it.
 *
 * A second plan with the same state buffers, such as a draft model's, may run on the same caches.
 */
export class Caches {
  readonly #entries: ReadonlyMap<string, StateBuffer>;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #position: CachePosition;

  /** @param context most tokens of the caches, at most the plan's context */
  constructor(
    private readonly device: GPUDevice,
    plan: Plan,
    readonly context: number,
  ) {
    this.#entries = new Map(stateBuffers(plan));
    this.#position = new CachePosition([...this.#entries.values()].flatMap(({ ring }) => ring ?? []));
  }

  /** Throws BundleError if `plan` has state buffers that are missing here, or differ. */
  check(plan: Plan): void {
    for (const [name, entry] of stateBuffers(plan)) {
      if (JSON.stringify(this.#entries.get(name)) === JSON.stringify(entry)) continue;
      throw new BundleError(
        `The plan's cache ${name} is not one of the caches that the plan is to run on: the two models do not belong ` +
          "together. Export them as one bundle.",
      );
    }
  }

  /** GPU bytes of the buffers created so far. */
  get bytes(): number {
    return Array.from(this.#buffers.values(), ({ size }) => size).reduce((sum, size) => sum + size, 0);
  }

  /** Releases the memory of all buffers. */
  dispose(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#buffers.clear();
  }

  // --- growth ---

  /** The buffer of a cache. Throws UsageError if `ensure` has not created it. */
  buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (!buffer) throw new UsageError(`The cache ${name} is used before it was created.`);
    return buffer;
  }

  /** The missing caches among the named buffers. */
  missing(names: Iterable<string>): string[] {
    return [...new Set(names)].filter((name) => this.#entries.has(name) && !this.#buffers.has(name));
  }

  /**
   * Creates the missing caches among the named buffers: all of them, or none if memory runs out.
   *
   * @param tokens the tokens that the caches are needed for, for the error
   * @throws OutOfMemoryError if the GPU has no memory for all of them
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

  /** Tokens in the caches: the position of the next token. Steps that run ahead do not count. */
  get position(): number {
    return this.#position.position;
  }

  /** The most steps that may run ahead and still be taken back. Infinity without rings. */
  get slack(): number {
    return this.#position.slack;
  }

  /** Throws ContextError if `tokens` more tokens do not fit the context. */
  checkRemaining(tokens: number): void {
    const end = this.position + tokens;
    if (end <= this.context) return;
    throw new ContextError(
      `The conversation has ${end} tokens, but the context holds ${this.context}. Shorten it or start a new one.`,
    );
  }

  /** Records a step that writes the positions before `end`. `advance` counts those that stay. */
  wrote(end: number): void {
    this.#position.wrote(end - this.position);
  }

  /** Counts tokens whose keys and values steps have stored. */
  advance(tokens: number): void {
    this.#position.position += tokens;
  }

  /** Whether every ring still holds the keys and values that a token at position `to` reads. */
  canRewind(to: number): boolean {
    return this.#position.canRewind(to);
  }

  /** Goes back to position `to`. Throws ContextError if `canRewind` is false. */
  rewind(to: number): void {
    this.#position.rewind(to);
  }

  /** Starts over with empty caches. Their memory stays. */
  reset(): void {
    this.#position.reset();
  }

  // --- snapshots ---

  /** Copies the rings, so that `restore` can return to the present position. Undefined if the GPU has no memory for it. */
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
   * Restores the state saved in `snapshot`. Full caches must still hold the same tokens up to its position. Throws
   * UsageError for an object that is no snapshot of an engine.
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
