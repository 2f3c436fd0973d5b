/** Runs the programs of one plan on one device. */

import { isFor, type Residence } from "../bundle/dispatches.ts";
import type { Sizes } from "../bundle/expression.ts";
import type { Plan, Program } from "../bundle/plan.gen.ts";
import type { PlanBuffers } from "./buffers.ts";
import type { Caches } from "./caches.ts";
import { checked } from "./device.ts";
import type { Pipelines } from "./pipelines.ts";
import { type Launch, ReadyProgram, unbound } from "./program.ts";
import { readFloats } from "./readback.ts";
import type { GpuWork } from "./work.ts";

/** GPU bytes that are allocated now. */
export interface RunnerMemory {
  /** Weights, and rows of embeddings on the host. */
  weights: number;
  /** Caches. */
  state: number;
  /** Slots, control buffers and params. */
  scratch: number;
}

/** Options of `PlanRunner.submit`. */
export interface SubmitOptions {
  /** The encoder's label, for errors and profilers; the program's name by default. */
  label?: string;
  /** Called after the step is encoded, to encode more commands; none by default. */
  after?: ((encoder: GPUCommandEncoder) => void) | undefined;
}

/**
 * A plan on a device: its buffers, pipelines and programs, and the caches that its programs work on.
 *
 * Knows nothing of tokens: `TextRunner` and `Tower` write the inputs of programs. Several runners may share `caches`.
 */
export class PlanRunner {
  readonly #programs = new Map<string, ReadyProgram>();

  constructor(
    readonly work: GpuWork,
    readonly plan: Plan,
    readonly caches: Caches,
    readonly buffers: PlanBuffers,
    readonly pipelines: Pipelines,
  ) {}

  /** The device of all work. */
  get device(): GPUDevice {
    return this.work.device;
  }

  /** Where per-layer embeddings are. */
  get embeddings(): Residence {
    return this.buffers.embeddings;
  }

  /** The present memory. Caches count once they are used. Caches that runners share count with each of them. */
  get memory(): RunnerMemory {
    const params = Array.from(this.#programs.values(), ({ paramsBytes }) => paramsBytes);
    const scratch = params.reduce((sum, bytes) => sum + bytes, this.buffers.scratchBytes);
    return { weights: this.buffers.weightBytes, state: this.caches.bytes, scratch };
  }

  /** The number of dispatches of each program for the residence of per-layer embeddings, by the program's name. */
  get dispatches(): Record<string, number> {
    const running = ({ dispatches }: Program) => dispatches.filter((one) => isFor(one, this.embeddings)).length;
    return Object.fromEntries(Object.entries(this.plan.programs).map(([name, program]) => [name, running(program)]));
  }

  /**
   * Creates the params of programs. Otherwise the first run of a program creates them. Issues WebGPU calls that may fail:
   * call within error scopes.
   */
  prepare(programs: readonly string[]): void {
    for (const name of programs) this.#ready(name);
  }

  /** The dispatches that a step runs: see `ReadyProgram.launches`. */
  launches(program: string, sizes: Sizes, first?: number, stop?: number): Launch[] {
    return this.#ready(program).launches(sizes, first, stop);
  }

  /** The missing caches that these dispatches use. They must be created before `submit`. */
  missingCaches(launches: readonly Launch[]): string[] {
    const names = unbound(launches);
    return names.length === 0 ? names : this.caches.missing(names);
  }

  /**
   * Submits a step, or a part of a step, of a program in one compute pass. Issues WebGPU calls that may fail: call within
   * error scopes.
   */
  submit(program: string, launches: readonly Launch[], { label = program, after }: SubmitOptions = {}): void {
    const encoder = this.device.createCommandEncoder({ label });
    const pass = encoder.beginComputePass({ label: program });
    this.#ready(program).encode(pass, launches);
    pass.end();
    after?.(encoder);
    this.device.queue.submit([encoder.finish()]);
  }

  /** Waits for all submitted work. Throws DeviceError if the device has failed. */
  settle(): Promise<void> {
    return this.work.settled(this.device.queue.onSubmittedWorkDone());
  }

  /** The first `count` f32 of a buffer of the plan, after all submitted work. Throws DeviceError. */
  read(name: string, count: number): Promise<Float32Array> {
    const bytes = count * Float32Array.BYTES_PER_ELEMENT;
    return this.work.settled(readFloats(this.device, this.buffers.buffer(name), bytes));
  }

  /**
   * Creates the slots for a step of these sizes, calls `issue`, waits for the GPU and releases the slots.
   *
   * @param stage the work in words, for errors
   * @throws DeviceError for errors of WebGPU in the calls of `issue` before its first `await`; the device still works then
   */
  async scratch<T>(stage: string, sizes: Sizes, issue: () => T): Promise<Awaited<T>> {
    try {
      const result = await checked(this.device, stage, () => {
        this.buffers.allocateSlots(sizes);
        return issue();
      });
      await this.settle();
      return result;
    } finally {
      // The bind groups of the programs contain the slots.
      for (const program of this.#programs.values()) program.dispose();
      this.#programs.clear();
      this.buffers.releaseSlots();
    }
  }

  #ready(name: string): ReadyProgram {
    let ready = this.#programs.get(name);
    if (!ready) {
      const program = this.plan.programs[name] as Program;
      ready = new ReadyProgram(this.device, name, program, this.pipelines, this.buffers);
      this.#programs.set(name, ready);
    }
    return ready;
  }
}
