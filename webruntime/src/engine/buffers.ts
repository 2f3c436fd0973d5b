/** The GPU buffers of a plan. */

import { isFor, type Tables } from "../bundle/dispatches.ts";
import { evaluate, type Sizes } from "../bundle/expression.ts";
import type { ControlBuffer, Dispatch, Plan, Program } from "../bundle/plan.gen.ts";
import { allocated, boundFor } from "../bundle/plan-memory.ts";
import { bindingBytes } from "../bundle/plan-sizes.ts";
import { UsageError } from "../errors.ts";
import { checked } from "./device.ts";
import type { Target } from "./weights.ts";

/**
 * Weights, control buffers and slots are there when they are asked for, and caches when a step first reaches into them.
 */
export class PlanBuffers {
  #sizes: Sizes;
  #slots: GPUBuffer[] = [];
  /** Weights, and the rows of tables that lie on the host. */
  readonly #weights = new Map<string, GPUBuffer>();
  readonly #state = new Map<string, GPUBuffer>();
  readonly #controls = new Map<ControlBuffer["role"], GPUBuffer>();
  /** The dispatches of a program that no step has reached yet and that lack caches. */
  readonly #late = new Map<Program, Dispatch[]>();

  constructor(
    private readonly device: GPUDevice,
    private readonly plan: Plan,
    /** Tokens that the caches hold. */
    context: number,
    readonly tables: Tables,
  ) {
    this.#sizes = { T: 1, P: context, C: context };
  }

  /** Makes weights and control buffers. */
  allocate(): void {
    const bound = boundFor(this.plan, this.tables);
    for (const [name, entry] of Object.entries(this.plan.buffers)) {
      if (entry.kind === "weight" || entry.kind === "rows") {
        if (bound.has(name)) this.#weights.set(name, this.#create(entry.bytes, name, GPUBufferUsage.COPY_DST));
      } else if (entry.kind === "control") {
        const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
        this.#controls.set(entry.role, this.#create(entry.bytes, name, usage));
      }
    }
  }

  /** Makes the slots, zeroed, for a step of so many tokens (of which only the slots of towers depend on). */
  allocateSlots(tokens = 1): void {
    this.#sizes = { ...this.#sizes, T: tokens };
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.#slots = this.plan.slots.map((bytes, slot) =>
      this.#create(evaluate(bytes, this.#sizes), `slot ${slot}`, usage),
    );
  }

  /** Gives the slots' memory back, once what was submitted is done with them. */
  releaseSlots(): void {
    for (const slot of this.#slots) slot.destroy();
    this.#slots = [];
  }

  /** Gives all memory back. */
  dispose(): void {
    this.releaseSlots();
    const buffers = [this.#weights.values(), this.#state.values(), this.#controls.values()];
    for (const buffer of buffers.flatMap((some) => [...some])) buffer.destroy();
  }

  #create(bytes: number, label: string, usage: number): GPUBuffer {
    return this.device.createBuffer({ label, size: allocated(bytes), usage: GPUBufferUsage.STORAGE | usage });
  }

  /**
   * Makes the caches that a step of a program binds and that are not there yet, zeroed as WebGPU does. Throws
   * OutOfMemoryError where the GPU has no room for them; what was there before stays.
   */
  async reach(program: Program, { T, P }: Pick<Sizes, "T" | "P">): Promise<void> {
    const sizes = { T, P, C: this.#sizes.C };
    const late = (this.#late.get(program) ?? program.dispatches).filter(
      (dispatch) => isFor(dispatch, this.tables) && this.#lacks(dispatch),
    );
    this.#late.set(program, late);
    const run = late.filter(({ grid }) => grid.every((size) => evaluate(size, sizes) > 0));
    const lacking = new Set(run.flatMap(({ bindings }) => bindings.filter((name) => this.#isLacking(name))));
    if (lacking.size === 0) return;
    try {
      await checked(this.device, `caches of ${P + T} tokens`, () => {
        for (const name of lacking) this.binding(name);
      });
    } catch (error) {
      for (const name of lacking) {
        this.#state.get(name)?.destroy();
        this.#state.delete(name);
      }
      throw error;
    }
  }

  #lacks({ bindings }: Dispatch): boolean {
    return bindings.some((name) => this.#isLacking(name));
  }

  #isLacking(name: string): boolean {
    return this.plan.buffers[name]?.kind === "state" && !this.#state.has(name);
  }

  /** What a dispatch binds for a buffer's name. */
  binding(name: string): GPUBufferBinding {
    const entry = this.plan.buffers[name];
    if (!entry) throw new UsageError(`The plan has no buffer "${name}".`);
    const size = allocated(bindingBytes(entry, this.#sizes));
    switch (entry.kind) {
      case "weight":
      case "rows":
        return { buffer: present(this.#weights.get(name)), size };
      case "scratch":
        return { buffer: present(this.#slots[entry.slot]), size };
      case "control":
        return { buffer: this.control(entry.role), size };
      case "state": {
        const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
        const buffer = this.#state.get(name) ?? this.#create(size, name, usage);
        this.#state.set(name, buffer);
        return { buffer, size };
      }
    }
  }

  has(role: ControlBuffer["role"]): boolean {
    return this.#controls.has(role);
  }

  control(role: ControlBuffer["role"]): GPUBuffer {
    return present(this.#controls.get(role));
  }

  /** The allocated caches that are rings. */
  rings(): GPUBuffer[] {
    return [...this.#state].filter(([name]) => isRing(this.plan.buffers[name])).map(([, buffer]) => buffer);
  }

  /** The parts of files that are uploaded. */
  weightTargets(): [file: string, target: Target][] {
    return [...this.#weights].flatMap(([name, buffer]): [string, Target][] => {
      const entry = this.plan.buffers[name];
      if (entry?.kind !== "weight") return [];
      const { file, offset, bytes } = entry;
      const write: Target["write"] = (at, part) => this.device.queue.writeBuffer(buffer, at, part);
      return [[file, { offset, bytes, write }]];
    });
  }

  get weightBytes(): number {
    return sizes(this.#weights.values());
  }

  get stateBytes(): number {
    return sizes(this.#state.values());
  }

  /** Slots and control buffers, without the params of programs. */
  get scratchBytes(): number {
    return sizes(this.#slots) + sizes(this.#controls.values());
  }
}

function isRing(entry: Plan["buffers"][string] | undefined): boolean {
  return entry?.kind === "state" && entry.ring !== null;
}

function sizes(buffers: Iterable<GPUBuffer>): number {
  return Array.from(buffers, ({ size }) => size).reduce((sum, size) => sum + size, 0);
}

/** Buffers that checkPlan has proved to be there. */
function present<T>(value: T | undefined): T {
  if (value === undefined) throw new UsageError("The plan was not checked before it was run.");
  return value;
}
