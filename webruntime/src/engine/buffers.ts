/** The GPU buffers of a plan, but for its caches. */

import type { Tables } from "../bundle/dispatches.ts";
import { evaluate, type Sizes } from "../bundle/expression.ts";
import type { ControlBuffer, Plan } from "../bundle/plan.gen.ts";
import { allocated, boundFor } from "../bundle/plan-memory.ts";
import { bindingBytes } from "../bundle/plan-sizes.ts";
import { UsageError } from "../errors.ts";
import type { Caches } from "./caches.ts";
import { attempted } from "./device.ts";
import type { Target } from "./weights.ts";

/**
 * Weights, rows of host-resident tables, control buffers and slots of a plan on a device.
 *
 * A buffer of weights or rows is made only if a dispatch binds the buffer where look-up tables lie in `tables`. Slots
 * exist from `allocateSlots` to `releaseSlots`.
 */
export class PlanBuffers {
  /** The sizes for which the slots were made. */
  #sizes: Sizes;
  #slots: GPUBuffer[] = [];
  /** Weights, and the rows of tables that lie on the host. */
  readonly #weights = new Map<string, GPUBuffer>();
  readonly #controls = new Map<ControlBuffer["role"], GPUBuffer>();

  /** @param caches have the plan's state buffers */
  constructor(
    private readonly device: GPUDevice,
    private readonly plan: Plan,
    readonly tables: Tables,
    private readonly caches: Caches,
  ) {
    this.#sizes = { T: 1, P: caches.context, C: caches.context };
  }

  /** Makes weights and control buffers. Issues WebGPU calls that may fail: call within error scopes. */
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

  /**
   * Makes the slots, zeroed, for a step of these sizes; by default for a text model, whose slots depend on no size.
   * Issues WebGPU calls that may fail: call within error scopes.
   */
  allocateSlots(sizes: Sizes = this.#sizes): void {
    this.#sizes = sizes;
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.#slots = this.plan.slots.map((bytes, slot) => this.#create(evaluate(bytes, sizes), `slot ${slot}`, usage));
  }

  /** Gives the memory of the slots back, once the GPU is done with what was submitted. */
  releaseSlots(): void {
    for (const slot of this.#slots) slot.destroy();
    this.#slots = [];
  }

  /** Gives all memory back, but for that of the caches. */
  dispose(): void {
    this.releaseSlots();
    for (const buffer of [...this.#weights.values(), ...this.#controls.values()]) buffer.destroy();
  }

  #create(bytes: number, label: string, usage: number): GPUBuffer {
    return this.device.createBuffer({ label, size: allocated(bytes), usage: GPUBufferUsage.STORAGE | usage });
  }

  /** The binding of the buffer of that name in a dispatch. Throws UsageError for a name that the plan does not have. */
  binding(name: string): GPUBufferBinding {
    const buffer = this.buffer(name);
    return { buffer, size: allocated(bindingBytes(this.plan.buffers[name] as Plan["buffers"][string], this.#sizes)) };
  }

  /** The GPU buffer behind a name of the plan. Throws UsageError for a name that the plan does not have. */
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

  /** Writes `data` into the buffer behind a name, from byte `offset` on. Throws DeviceError. */
  write(name: string, data: AllowSharedBufferSource, offset = 0): void {
    attempted(`data for ${name}`, () => this.device.queue.writeBuffer(this.buffer(name), offset, data));
  }

  /** The regions of files that the weights are uploaded from. */
  weightTargets(): [file: string, target: Target][] {
    return [...this.#weights].flatMap(([name, buffer]): [string, Target][] => {
      const entry = this.plan.buffers[name];
      if (entry?.kind !== "weight") return [];
      const { file, offset, bytes } = entry;
      const write: Target["write"] = (at, part) => this.device.queue.writeBuffer(buffer, at, part);
      return [[file, { offset, bytes, write }]];
    });
  }

  /** GPU bytes of weights, and of the rows of tables that lie on the host. */
  get weightBytes(): number {
    return sizes(this.#weights.values());
  }

  /** GPU bytes of the slots that exist now and of control buffers, without the params of programs. */
  get scratchBytes(): number {
    return sizes(this.#slots) + sizes(this.#controls.values());
  }
}

function sizes(buffers: Iterable<GPUBuffer>): number {
  return Array.from(buffers, ({ size }) => size).reduce((sum, size) => sum + size, 0);
}

/** A buffer that checkPlan has proved to be there. */
function present<T>(value: T | undefined): T {
  if (value === undefined) throw new UsageError("The plan was not checked before it was run.");
  return value;
}
