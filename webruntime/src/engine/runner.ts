/** Runs the programs of one plan on one device. */

import { isFor, type Tables } from "../bundle/dispatches.ts";
import type { Sizes } from "../bundle/expression.ts";
import type { Plan, Program } from "../bundle/plan.gen.ts";
import type { PlanBuffers } from "./buffers.ts";
import type { Caches } from "./caches.ts";
import { checked } from "./device.ts";
import type { Pipelines } from "./pipelines.ts";
import { type Launch, ReadyProgram, unbound } from "./program.ts";
import { readFloats } from "./readback.ts";
import type { GpuWork } from "./work.ts";

/** GPU bytes that are allocated now. weights: with the rows of host-resident tables. scratch: with params. */
export interface RunnerMemory {
  weights: number;
  state: number;
  scratch: number;
}

export interface SubmitOptions {
  /** The encoder's label, for errors and profilers; the program's name by default. */
  label?: string;
  /** Called when the step is encoded, to encode what follows the step. */
  after?: ((encoder: GPUCommandEncoder) => void) | undefined;
}

/**
 * A plan on a device: its buffers, pipelines and programs, and the caches that its programs work on.
 *
 * Knows nothing of tokens: `TextRunner` and `Tower` write what a program takes. Several runners may share `caches`.
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

  get device(): GPUDevice {
    return this.work.device;
  }

  /** Where look-up tables lie. */
  get tables(): Tables {
    return this.buffers.tables;
  }

  /** Caches: those that steps have reached. Caches that several runners share count with each of them. */
  get memory(): RunnerMemory {
    const params = Array.from(this.#programs.values(), ({ paramsBytes }) => paramsBytes);
    const scratch = params.reduce((sum, bytes) => sum + bytes, this.buffers.scratchBytes);
    return { weights: this.buffers.weightBytes, state: this.caches.bytes, scratch };
  }

  /** By the plan's programs: how many dispatches each has where look-up tables lie. */
  get dispatches(): Record<string, number> {
    const running = ({ dispatches }: Program) => dispatches.filter((one) => isFor(one, this.tables)).length;
    return Object.fromEntries(Object.entries(this.plan.programs).map(([name, program]) => [name, running(program)]));
  }

  /**
   * Makes the params of programs, which are else made when a program is first run. Issues WebGPU calls that may fail:
   * call within error scopes.
   */
  prepare(programs: readonly string[]): void {
    for (const name of programs) this.#ready(name);
  }

  /** The dispatches that a step runs: see ReadyProgram.launches. */
  launches(program: string, sizes: Sizes, first?: number, stop?: number): Launch[] {
    return this.#ready(program).launches(sizes, first, stop);
  }

  /** The caches that these dispatches are the first to reach. They must be there before `submit`. */
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

  /** Resolves when the GPU is done with what was submitted. Throws the DeviceError by which the device failed. */
  settle(): Promise<void> {
    return this.work.settled(this.device.queue.onSubmittedWorkDone());
  }

  /** The first `count` f32 of a buffer of the plan, as they are after what was submitted. Throws DeviceError. */
  read(name: string, count: number): Promise<Float32Array> {
    const bytes = count * Float32Array.BYTES_PER_ELEMENT;
    return this.work.settled(readFloats(this.device, this.buffers.buffer(name), bytes));
  }

  /**
   * Calls `issue` while there are slots for a step of these sizes, waits for the GPU, and gives the slots' memory back.
   * Throws DeviceError for what WebGPU finds wrong with the calls that `issue` makes before it first awaits; the device
   * goes on then.
   *
   * @param stage the work in words, for errors
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
      // Their bind groups name the slots.
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
