/** The GPU buffers of a plan. */

import { UsageError } from "./errors.ts";
import { evaluate, type Sizes } from "./expression.ts";
import type { ControlBuffer, Plan } from "./plan.gen.ts";
import { bindingBytes } from "./plan-check.ts";
import type { Region } from "./slices.ts";

/** The largest thing a kernel reads at once: a vector of four words. */
const VECTOR_BYTES = 16;

/** Kernels may read the last, incomplete vector of a value whole, so what they bind is a whole number of vectors. */
function wholeVectors(bytes: number): number {
  return Math.ceil(bytes / VECTOR_BYTES) * VECTOR_BYTES;
}

interface WeightTarget extends Region {
  buffer: GPUBuffer;
}

/** Weights, control buffers and slots are there from the start; caches come when a program is first made. */
export class PlanBuffers {
  readonly #sizes: Sizes;
  readonly #weights = new Map<string, WeightTarget>();
  readonly #slots: GPUBuffer[];
  readonly #state = new Map<string, GPUBuffer>();
  readonly #controls = new Map<ControlBuffer["role"], GPUBuffer>();

  constructor(
    private readonly device: GPUDevice,
    private readonly plan: Plan,
    /** Tokens that the caches hold. */
    context: number,
    /** T of the largest step to come, which the slots of a tower depend on. */
    tokens = 1,
  ) {
    this.#sizes = { T: tokens, P: context, C: context };
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.#slots = plan.slots.map((bytes, slot) => this.#create(evaluate(bytes, this.#sizes), `slot ${slot}`, usage));
    for (const [name, entry] of Object.entries(plan.buffers)) {
      if (entry.kind === "weight") {
        const { offset, bytes } = entry;
        this.#weights.set(name, { offset, bytes, buffer: this.#create(bytes, name, GPUBufferUsage.COPY_DST) });
      } else if (entry.kind === "control") {
        const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
        this.#controls.set(entry.role, this.#create(entry.bytes, name, usage));
      }
    }
  }

  #create(bytes: number, label: string, usage: number): GPUBuffer {
    return this.device.createBuffer({ label, size: wholeVectors(bytes), usage: GPUBufferUsage.STORAGE | usage });
  }

  /** What a dispatch binds for a buffer's name. Allocates caches, zeroed as WebGPU does. */
  binding(name: string): GPUBufferBinding {
    const entry = this.plan.buffers[name];
    if (!entry) throw new UsageError(`The plan has no buffer "${name}".`);
    const size = wholeVectors(bindingBytes(entry, this.#sizes));
    switch (entry.kind) {
      case "weight":
        return { buffer: present(this.#weights.get(name)).buffer, size };
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

  control(role: ControlBuffer["role"]): GPUBuffer {
    return present(this.#controls.get(role));
  }

  /** The allocated caches that are rings. */
  rings(): GPUBuffer[] {
    return [...this.#state].filter(([name]) => isRing(this.plan.buffers[name])).map(([, buffer]) => buffer);
  }

  /** By file, the parts of it that are uploaded. */
  weightTargets(): Map<string, WeightTarget[]> {
    const files = new Map<string, WeightTarget[]>();
    for (const [name, target] of this.#weights) {
      const entry = this.plan.buffers[name];
      if (entry?.kind !== "weight") continue;
      files.set(entry.file, [...(files.get(entry.file) ?? []), target]);
    }
    return files;
  }

  get weightBytes(): number {
    return sizes([...this.#weights.values()].map(({ buffer }) => buffer));
  }

  get stateBytes(): number {
    return sizes(this.#state.values());
  }

  /** Slots and control buffers. */
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
