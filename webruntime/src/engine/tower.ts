/** A tower: an image, or a segment of audio, becomes rows of embeddings. */

import { ENCODE, ROWS } from "../bundle/facts.gen.ts";
import type { Plan, Program } from "../bundle/plan.gen.ts";
import { bindingBytes } from "../bundle/plan-sizes.ts";
import { ContextError, UsageError } from "../errors.ts";
import type { TowerName } from "../messages.ts";
import type { InputShape, Tower as TowerInterface } from "./interface.ts";
import { RowsBuffer } from "./rows-buffer.ts";
import type { PlanRunner } from "./runner.ts";

/** Dispatches of a submit. On a slow GPU a tower runs for seconds, and Windows ends work after two: so it runs in parts. */
const DISPATCHES_A_SUBMIT = 8;

/** Names of the towers in errors. */
export const TOWER_NAMES: Record<TowerName, string> = {
  image: "the part of the model that sees",
  audio: "the part of the model that hears",
};

type Inputs = Parameters<TowerInterface["encode"]>[0];

/** Encodes with a tower's plan on `runner`. Slots exist only while the tower encodes. */
export class Tower implements TowerInterface {
  constructor(
    readonly name: TowerName,
    readonly runner: PlanRunner,
  ) {}

  /** The most soft tokens of one image or segment of audio. */
  get maxTokens(): number {
    return this.runner.plan.context;
  }

  /** Encodes one image, frame or segment of audio: see the interface. */
  async encode(inputs: Inputs, shape: InputShape): Promise<RowsBuffer> {
    const { name, runner } = this;
    checkTokens(name, runner.plan, shape.tokens);
    this.#checkInputs(inputs, shape.tokens);
    const end = runner.work.begin("encode");
    let rows: RowsBuffer | undefined;
    try {
      const sizes = { T: shape.tokens, P: 0, C: runner.plan.context };
      await runner.scratch(`${TOWER_NAMES[name]}, ${shape.tokens} tokens`, sizes, () => {
        this.#write(inputs, shape);
        this.#submitParts(sizes);
        rows = this.#copyRows(shape.tokens);
      });
      return rows as unknown as RowsBuffer;
    } catch (error) {
      rows?.dispose();
      throw error;
    } finally {
      end();
    }
  }

  #checkInputs(inputs: Inputs, tokens: number): void {
    const { plan } = this.runner;
    const { inputs: wanted } = program(plan);
    for (const [name, buffer] of Object.entries(wanted)) {
      const found = inputs[name]?.byteLength;
      const most = bytesOf(plan, buffer, tokens);
      if (found !== undefined && found > 0 && found <= most) continue;
      throw new UsageError(
        `${TOWER_NAMES[this.name]} takes ${Object.keys(wanted).join(" and ")}; for ${tokens} tokens ${name} has up ` +
          `to ${most} bytes, but ${found ?? "none"} were given.`,
      );
    }
  }

  /** Writes the inputs. New slots are zeroed, so the rest of an input's buffer is 0. */
  #write(inputs: Inputs, { tokens, rows }: InputShape): void {
    const { buffers, plan } = this.runner;
    for (const [name, buffer] of Object.entries(program(plan).inputs)) {
      buffers.write(buffer, inputs[name] as AllowSharedBufferSource);
    }
    buffers.writeControl("step", Uint32Array.of(0, tokens, 0, rows));
  }

  #submitParts(sizes: { T: number; P: number; C: number }): void {
    const { name, runner } = this;
    for (let first = 0; first < program(runner.plan).dispatches.length; first += DISPATCHES_A_SUBMIT) {
      const launches = runner.launches(ENCODE, sizes, first, first + DISPATCHES_A_SUBMIT);
      runner.submit(ENCODE, launches, { label: name });
    }
  }

  #copyRows(tokens: number): RowsBuffer {
    const { device, buffers, plan } = this.runner;
    const label = `rows of ${this.name}`;
    const rows = new RowsBuffer(device, label, tokens, rowBytesOf(plan));
    const encoder = device.createCommandEncoder({ label });
    encoder.copyBufferToBuffer(buffers.buffer(outputOf(plan)), 0, rows.buffer, 0, rows.bytes);
    device.queue.submit([encoder.finish()]);
    return rows;
  }
}

/** Bytes of a row that a tower's plan makes. */
export function rowBytesOf(plan: Plan): number {
  return bytesOf(plan, outputOf(plan), 1);
}

/** Throws ContextError for more tokens than the plan takes. */
export function checkTokens(name: TowerName, { context }: Plan, tokens: number): void {
  if (tokens <= context) return;
  const next = name === "image" ? "Choose less detail." : "Let it be heard in shorter segments.";
  throw new ContextError(`${tokens} tokens are more than ${TOWER_NAMES[name]} takes at once, ${context}. ${next}`);
}

function outputOf(plan: Plan): string {
  return program(plan).outputs[ROWS] as string;
}

function program(plan: Plan): Program {
  return plan.programs[ENCODE] as Program;
}

function bytesOf(plan: Plan, buffer: string, tokens: number): number {
  const entry = plan.buffers[buffer] as Plan["buffers"][string];
  return bindingBytes(entry, { T: tokens, P: 0, C: plan.context });
}
