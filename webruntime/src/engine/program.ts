/** A program of a plan, ready to be encoded: uniforms are made once, and bind groups when they are first needed. */

import { isFor } from "../bundle/dispatches.ts";
import { evaluate, type Sizes } from "../bundle/expression.ts";
import { PARAMS_ALIGNMENT } from "../bundle/facts.gen.ts";
import type { Dispatch, Program } from "../bundle/plan.gen.ts";
import { isGridSize } from "../bundle/plan-sizes.ts";
import { DeviceError } from "../errors.ts";
import type { PlanBuffers } from "./buffers.ts";
import type { Pipelines } from "./pipelines.ts";

interface Step {
  dispatch: Dispatch;
  uniform: GPUBufferBinding | undefined;
  bindGroup?: GPUBindGroup;
}

export class ReadyProgram {
  readonly #steps: Step[];
  readonly #uniforms: GPUBuffer | undefined;

  /** Issues WebGPU calls that may fail: make it within an error scope. */
  constructor(
    private readonly device: GPUDevice,
    readonly name: string,
    readonly program: Program,
    private readonly pipelines: Pipelines,
    private readonly buffers: PlanBuffers,
  ) {
    const dispatches = program.dispatches.filter((dispatch) => isFor(dispatch, buffers.tables));
    const uniforms = createUniforms(device, name, dispatches);
    this.#uniforms = uniforms.find((uniform) => uniform !== undefined)?.buffer;
    this.#steps = dispatches.map((dispatch, index) => ({ dispatch, uniform: uniforms[index] }));
  }

  #bindGroup({ dispatch, uniform }: Step): GPUBindGroup {
    const resources = dispatch.bindings.map((name) => this.buffers.binding(name));
    if (uniform) resources.push(uniform);
    return this.device.createBindGroup({
      label: `${this.name}: ${dispatch.label}`,
      layout: this.pipelines.get(dispatch.kernel).layout,
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
  }

  /** Bytes of the GPU buffer with the params. */
  get paramsBytes(): number {
    return this.#uniforms?.size ?? 0;
  }

  /** Gives the memory of the params back; the program is of no more use. */
  dispose(): void {
    this.#uniforms?.destroy();
  }

  /**
   * Encodes one step, or its dispatches from `first` to before `end`, into one compute pass. Dispatches with a zero in
   * their grid are left out.
   */
  encode(encoder: GPUCommandEncoder, sizes: Sizes, first = 0, end = this.#steps.length): void {
    const limit = this.device.limits.maxComputeWorkgroupsPerDimension;
    const pass = encoder.beginComputePass({ label: this.name });
    for (const step of this.#steps.slice(first, end)) {
      const { dispatch } = step;
      const [x, y, z] = dispatch.grid.map((expression) => evaluate(expression, sizes)) as [number, number, number];
      for (const size of [x, y, z]) {
        if (!isGridSize(size, limit)) {
          throw new DeviceError(`${this.name}, ${dispatch.label}: ${size} workgroups are not 0 to ${limit}.`);
        }
      }
      if (x === 0 || y === 0 || z === 0) continue;
      pass.setPipeline(this.pipelines.get(dispatch.kernel).pipeline);
      step.bindGroup ??= this.#bindGroup(step);
      pass.setBindGroup(0, step.bindGroup);
      pass.dispatchWorkgroups(x, y, z);
    }
    pass.end();
  }
}

/** The params of all dispatches in one uniform buffer; undefined for those that have none. */
function createUniforms(
  device: GPUDevice,
  name: string,
  dispatches: readonly Dispatch[],
): (GPUBufferBinding | undefined)[] {
  const offsets: number[] = [];
  let size = 0;
  for (const { params } of dispatches) {
    offsets.push(size);
    if (params) size += Math.ceil((params.length * 4) / PARAMS_ALIGNMENT) * PARAMS_ALIGNMENT;
  }
  if (size === 0) return [];
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ label: `${name}: params`, size, usage });
  const words = new Uint32Array(size / 4);
  dispatches.forEach(({ params }, index) => {
    words.set(params ?? [], (offsets[index] ?? 0) / 4);
  });
  device.queue.writeBuffer(buffer, 0, words);
  return dispatches.map(({ params }, index) =>
    params ? { buffer, offset: offsets[index] ?? 0, size: uniformSize(params.length) } : undefined,
  );
}

/** WGSL rounds the size of a uniform struct with vectors up to 16 bytes; the padding is there to be bound. */
function uniformSize(words: number): number {
  return Math.ceil(words / 4) * 16;
}
