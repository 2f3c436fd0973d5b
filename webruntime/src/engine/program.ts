/** A program of a plan, ready to be encoded. */

import { isFor, type Residence } from "../bundle/dispatches.ts";
import { evaluate, type Sizes } from "../bundle/expression.ts";
import { PARAMS_ALIGNMENT } from "../bundle/facts.gen.ts";
import type { Dispatch, Program } from "../bundle/plan.gen.ts";
import { isGridSize } from "../bundle/plan-sizes.ts";
import { DeviceError } from "../errors.ts";
import type { PlanBuffers } from "./buffers.ts";
import type { Pipelines } from "./pipelines.ts";

/** A dispatch with its params and, after its first run, its bind group. */
interface Step {
  dispatch: Dispatch;
  params: GPUBufferBinding | undefined;
  bindGroup?: GPUBindGroup;
}

/** A dispatch that a step of a program runs. x, y, z: its workgroups, none 0. */
export interface Launch {
  /** The dispatch. */
  readonly step: Step;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** The names of the buffers that a step of these sizes binds. */
export function boundAt(program: Program, embeddings: Residence, sizes: Sizes): Set<string> {
  const run = program.dispatches.filter(
    (dispatch) => isFor(dispatch, embeddings) && dispatch.grid.every((size) => evaluate(size, sizes) > 0),
  );
  return new Set(run.flatMap(({ bindings }) => bindings));
}

/** A program with its params in one uniform buffer. A bind group is created when a step first needs it. */
export class ReadyProgram {
  readonly #steps: Step[];
  readonly #params: GPUBuffer | undefined;
  /** The most workgroups that the device starts along one dimension. */
  readonly #maxWorkgroups: number;

  /** Issues WebGPU calls that may fail: call within error scopes. */
  constructor(
    private readonly device: GPUDevice,
    readonly name: string,
    program: Program,
    private readonly pipelines: Pipelines,
    private readonly buffers: PlanBuffers,
  ) {
    this.#maxWorkgroups = device.limits.maxComputeWorkgroupsPerDimension;
    const dispatches = program.dispatches.filter((dispatch) => isFor(dispatch, buffers.embeddings));
    const params = createParams(device, name, dispatches);
    this.#params = params.find((binding) => binding !== undefined)?.buffer;
    this.#steps = dispatches.map((dispatch, index) => ({ dispatch, params: params[index] }));
  }

  /** GPU bytes of the params. */
  get paramsBytes(): number {
    return this.#params?.size ?? 0;
  }

  /** Releases the memory of the params. The program cannot run any more. */
  dispose(): void {
    this.#params?.destroy();
  }

  /**
   * The dispatches that a step of these sizes runs, among those numbered `first` to `stop` - 1; by default among all. A
   * dispatch with a 0 in its grid does not run. Throws DeviceError for more workgroups than the device supports.
   */
  launches(sizes: Sizes, first = 0, stop = this.#steps.length): Launch[] {
    const launches: Launch[] = [];
    for (let number = first; number < Math.min(stop, this.#steps.length); number++) {
      const step = this.#steps[number] as Step;
      const [x, y, z] = step.dispatch.grid;
      const launch = { step, x: evaluate(x, sizes), y: evaluate(y, sizes), z: evaluate(z, sizes) };
      this.#check(launch);
      if (launch.x > 0 && launch.y > 0 && launch.z > 0) launches.push(launch);
    }
    return launches;
  }

  #check({ step, x, y, z }: Launch): void {
    const limit = this.#maxWorkgroups;
    if (isGridSize(x, limit) && isGridSize(y, limit) && isGridSize(z, limit)) return;
    const what = `${this.name}, ${step.dispatch.label}`;
    throw new DeviceError(`${what}: ${x} × ${y} × ${z} workgroups are not 0 to ${limit} each.`);
  }

  /** Encodes dispatches in order. The caches that they bind must exist. */
  encode(pass: GPUComputePassEncoder, launches: readonly Launch[]): void {
    for (const { step, x, y, z } of launches) {
      pass.setPipeline(this.pipelines.get(step.dispatch.kernel).pipeline);
      step.bindGroup ??= this.#bindGroup(step);
      pass.setBindGroup(0, step.bindGroup);
      pass.dispatchWorkgroups(x, y, z);
    }
  }

  #bindGroup({ dispatch, params }: Step): GPUBindGroup {
    const resources = dispatch.bindings.map((name) => this.buffers.binding(name));
    if (params) resources.push(params);
    return this.device.createBindGroup({
      label: `${this.name}: ${dispatch.label}`,
      layout: this.pipelines.get(dispatch.kernel).layout,
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
  }
}

/** The names of the buffers that dispatches without bind group bind. */
export function unbound(launches: readonly Launch[]): string[] {
  const names: string[] = [];
  for (const { step } of launches) if (!step.bindGroup) names.push(...step.dispatch.bindings);
  return names;
}

/** The params of all dispatches in one uniform buffer; undefined for those that have none. */
function createParams(
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

/** The size of a binding of params. WGSL rounds a uniform struct with vectors up to 16 bytes, which the buffer has. */
function uniformSize(words: number): number {
  return Math.ceil(words / 4) * 16;
}
