/** A tower: turns the input rows of one image or stretch of audio into rows of embeddings. */

import { ENCODE, ROWS } from "../bundle/facts.gen.ts";
import type { Plan } from "../bundle/plan.gen.ts";
import { bindingBytes } from "../bundle/plan-sizes.ts";
import { ContextError, UsageError } from "../errors.ts";
import type { TowerName } from "../messages.ts";
import type { PlanBuffers } from "./buffers.ts";
import { checked } from "./device.ts";
import type { InputShape, Tower as TowerInterface } from "./interface.ts";
import type { LoadedPlan } from "./load-plan.ts";
import { RowsBuffer } from "./media.ts";
import { ReadyProgram } from "./program.ts";

/** A tower's program, and what it gives. */
/** On a slow GPU a tower's work takes seconds, and Windows ends what runs for two: so it is handed over in parts. */
const DISPATCHES_A_SUBMIT = 8;

/** The parts of models in words. */
export const TOWER_NAMES: Record<TowerName, string> = {
  image: "the part of the model that sees",
  audio: "the part of the model that hears",
};

type Inputs = Parameters<TowerInterface["encode"]>[0];

/** What the engine lends its towers. */
export interface TowerHost {
  device: GPUDevice;
  /** Refuses what overlaps with another call; gives the end of this one. */
  acquire(call: string): () => void;
  /** The value of work on the GPU, or the DeviceError by which it failed. */
  settled<T>(work: Promise<T>): Promise<T>;
}

/** Scratch exists only while it encodes. */
export class Tower implements TowerInterface {
  readonly #host: TowerHost;
  readonly #name: TowerName;
  readonly #plan: Plan;
  readonly #loaded: LoadedPlan;

  constructor(host: TowerHost, name: TowerName, plan: Plan, loaded: LoadedPlan) {
    this.#host = host;
    this.#name = name;
    this.#plan = plan;
    this.#loaded = loaded;
  }

  async encode(inputs: Inputs, shape: InputShape): Promise<RowsBuffer> {
    checkTokens(this.#name, this.#plan, shape.tokens);
    this.#checkInputs(inputs, shape.tokens);
    const release = this.#host.acquire("encode");
    const { device } = this.#host;
    const { buffers } = this.#loaded;
    let rows: RowsBuffer | undefined;
    try {
      const stage = `${TOWER_NAMES[this.#name]}, ${shape.tokens} tokens`;
      await checked(device, stage, () => {
        buffers.allocateSlots(shape.tokens);
        this.#write(inputs, shape);
        this.#run(shape);
        rows = this.#copyRows(shape.tokens);
      });
      await this.#host.settled(device.queue.onSubmittedWorkDone());
      return rows as RowsBuffer;
    } catch (error) {
      rows?.dispose();
      throw error;
    } finally {
      buffers.releaseSlots();
      release();
    }
  }

  /** Recompiles the kernels of one WGSL file. */
  swapShader(file: string, text: string): Promise<void> {
    return this.#loaded.pipelines.swap(file, text);
  }

  #checkInputs(inputs: Inputs, tokens: number): void {
    const { inputs: wanted } = program(this.#plan);
    for (const [name, buffer] of Object.entries(wanted)) {
      const found = inputs[name]?.byteLength;
      const most = bytesOf(this.#plan, buffer, tokens);
      if (found !== undefined && found > 0 && found <= most) continue;
      throw new UsageError(
        `${TOWER_NAMES[this.#name]} takes ${Object.keys(wanted).join(" and ")}; for ${tokens} tokens ${name} has up ` +
          `to ${most} bytes, but ${found ?? "none"} were given.`,
      );
    }
  }

  /** New slots are zero, and so is what an input leaves of its buffer. */
  #write(inputs: Inputs, { tokens, rows }: InputShape): void {
    const { queue } = this.#host.device;
    const { buffers } = this.#loaded;
    for (const [name, buffer] of Object.entries(program(this.#plan).inputs)) {
      queue.writeBuffer(buffers.binding(buffer).buffer, 0, inputs[name] as GPUAllowSharedBufferSource);
    }
    queue.writeBuffer(buffers.control("step"), 0, Uint32Array.of(0, tokens, 0, rows));
  }

  #run({ tokens }: InputShape): void {
    const { device } = this.#host;
    const { buffers, pipelines } = this.#loaded;
    const sizes = { T: tokens, P: 0, C: this.#plan.context };
    const ready = new ReadyProgram(device, this.#name, program(this.#plan), pipelines, buffers);
    for (let first = 0; first < ready.program.dispatches.length; first += DISPATCHES_A_SUBMIT) {
      const encoder = device.createCommandEncoder({ label: this.#name });
      ready.encode(encoder, sizes, first, first + DISPATCHES_A_SUBMIT);
      device.queue.submit([encoder.finish()]);
    }
    ready.dispose();
  }

  #copyRows(tokens: number): RowsBuffer {
    const { device } = this.#host;
    const rowBytes = rowBytesOf(this.#plan);
    const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const label = `rows of ${this.#name}`;
    const rows = new RowsBuffer(device.createBuffer({ label, size: tokens * rowBytes, usage }), tokens, rowBytes);
    const encoder = device.createCommandEncoder({ label });
    const { buffer } = outputOf(this.#loaded.buffers, this.#plan);
    encoder.copyBufferToBuffer(buffer, 0, rows.buffer, 0, rows.bytes);
    device.queue.submit([encoder.finish()]);
    return rows;
  }
}

/** Bytes of one row that a tower's plan makes. */
export function rowBytesOf(plan: Plan): number {
  return bytesOf(plan, program(plan).outputs[ROWS] as string, 1);
}

/** Throws ContextError for more tokens than the tower's plan takes. */
export function checkTokens(name: TowerName, { context }: Plan, tokens: number): void {
  if (tokens <= context) return;
  const next = name === "image" ? "Choose less detail." : "Let it be heard in shorter segments.";
  throw new ContextError(`${tokens} tokens are more than ${TOWER_NAMES[name]} takes at once, ${context}. ${next}`);
}

function outputOf(buffers: PlanBuffers, plan: Plan): GPUBufferBinding {
  return buffers.binding(program(plan).outputs[ROWS] as string);
}

function program(plan: Plan): Plan["programs"][string] {
  return plan.programs[ENCODE] as Plan["programs"][string];
}

function bytesOf(plan: Plan, buffer: string, tokens: number): number {
  const entry = plan.buffers[buffer] as Plan["buffers"][string];
  return bindingBytes(entry, { T: tokens, P: 0, C: plan.context });
}
