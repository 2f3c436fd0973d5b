/** The GPU buffers of a plan, except its caches. */

import type { Residence } from "../bundle/dispatches.ts";
import { evaluate, type Sizes } from "../bundle/expression.ts";
import type { ControlBuffer, Plan } from "../bundle/plan.gen.ts";
import { allocated, boundFor } from "../bundle/plan-memory.ts";
import { bindingBytes } from "../bundle/plan-sizes.ts";
import { UsageError } from "../errors.ts";
import type { Caches } from "./caches.ts";
import { attempted } from "./device.ts";
import type { Target } from "./weights.ts";

/**
 * Weights, rows of embeddings on the host, control buffers and slots of a plan on a device.
 *
 * A buffer of weights or rows is created only if a dispatch for `embeddings` binds it. Slots exist from `allocateSlots` to
 * `releaseSlots`.
 */
export class PlanBuffers {
  /** The sizes for which the slots were created. */
  #sizes: Sizes;
  #slots: GPUBuffer[] = [];
  /** Weights, and rows of embeddings on the host. */
  readonly #weights = new Map<string, GPUBuffer>();
  readonly #controls = new Map<ControlBuffer["role"], GPUBuffer>();

  /**
   * @param embeddings where per-layer embeddings are
   * @param caches have the plan's state buffers
   */
  constructor(
    private readonly device: GPUDevice,
    private readonly plan: Plan,
    readonly embeddings: Residence,
    private readonly caches: Caches,
  ) {
    this.#sizes = { T: 1, P: caches.context, C: caches.context };
  }

  /** Creates the buffers of weights, rows and controls. Issues WebGPU calls that may fail: call within error scopes. */
  allocate(): void {
    const bound = boundFor(this.plan, this.embeddings);
    for (const [name, entry] of Object.entries(this.plan.buffers)) {
      if (entry.kind === "weight" || entry.kind === "rows") {
        if (bound.has(name)) this.#weights.set(name, this.#create(entry.bytes, name, GPUBufferUsage.COPY_DST));
      } else if (entry.kind === "control") {
        const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
        this.#controls.set(entry.role, this.#create(entry.bytes, name, usage));
      }
    }
  }

  /**
   * Creates the slots, zeroed, for a step of these sizes. The default is for text models, whose slots depend on no size.
   * Issues WebGPU calls that may fail: call within error scopes.
   */
  allocateSlots(sizes: Sizes = this.#sizes): void {
    this.#sizes = sizes;
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.#slots = this.plan.slots.map((bytes, slot) => this.#create(evaluate(bytes, sizes), `slot ${slot}`, usage));
  }

  /** Releases the memory of the slots after the GPU has done the submitted work. */
  releaseSlots(): void {
    for (const slot of this.#slots) slot.destroy();
    this.#slots = [];
  }

  /** Releases all memory, except that of the caches. */
  dispose(): void {
    this.releaseSlots();
    for (const buffer of [...this.#weights.values(), ...this.#controls.values()]) buffer.destroy();
  }

  #create(bytes: number, label: string, usage: number): GPUBuffer {
    return this.device.createBuffer({ label, size: allocated(bytes), usage: GPUBufferUsage.STORAGE | usage });
  }

  /** The binding of a buffer in a dispatch. Throws UsageError for a name that the plan does not have. */
  binding(name: string): GPUBufferBinding {
    const buffer = this.buffer(name);
    return { buffer, size: allocated(bindingBytes(this.plan.buffers[name] as Plan["buffers"][string], this.#sizes)) };
  }

  /** The GPU buffer of a name in the plan. Throws UsageError for a name that the plan does not have. */
  buffer(name: string): GPUBuffer {
    const entry = this.plan.buffers[name];
    switch (entry?.kind) {
      case "weight":
      case "rows":
        return present(this.#weights.get(name));
      case "scratch":
        return present(this.#slots[entry.slot]);
      case "control":
        return this.control(entry.role);
      case "state":
        return this.caches.buffer(name);
      default:
        throw new UsageError(`The plan has no buffer "${name}".`);
    }
  }

  /** Whether the plan has a control buffer of that role. */
  hasControl(role: ControlBuffer["role"]): boolean {
    return this.#controls.has(role);
  }

  /** The control buffer of that role. */
  control(role: ControlBuffer["role"]): GPUBuffer {
    return present(this.#controls.get(role));
  }

  /** Writes `data` into the control buffer of that role, from its beginning on. Throws DeviceError. */
  writeControl(role: ControlBuffer["role"], data: AllowSharedBufferSource): void {
    attempted(`data for ${role}`, () => this.device.queue.writeBuffer(this.control(role), 0, data));
  }

  /** Writes `data` into the buffer of a name, from byte `offset` on. Throws DeviceError. */
  write(name: string, data: AllowSharedBufferSource, offset = 0): void {
    attempted(`data for ${name}`, () => this.device.queue.writeBuffer(this.buffer(name), offset, data));
  }

  /** The regions of files with the weights, and the uploads of their bytes. */
  weightTargets(): [file: string, target: Target][] {
    return [...this.#weights].flatMap(([name, buffer]): [string, Target][] => {
      const entry = this.plan.buffers[name];
      if (entry?.kind !== "weight") return [];
      const { file, offset, bytes } = entry;
      const write: Target["write"] = (at, part) => this.device.queue.writeBuffer(buffer, at, part);
      return [[file, { offset, bytes, write }]];
    });
  }

  /** GPU bytes of weights, and of rows of embeddings on the host. */
  get weightBytes(): number {
    return sizes(this.#weights.values());
  }

  /** GPU bytes of the existing slots and of control buffers, without the params of programs. */
  get scratchBytes(): number {
    return sizes(this.#slots) + sizes(this.#controls.values());
  }
}

function sizes(buffers: Iterable<GPUBuffer>): number {
  return Array.from(buffers, ({ size }) => size).reduce((sum, size) => sum + size, 0);
}

/** The value, which `checkPlan` has proved to exist. */
function present<T>(value: T | undefined): T {
  if (value === undefined) throw new UsageError("The plan was not checked before it was run.");
  return value;
}
