/** Runs steps of a text model: a program of a plan on tokens. */

import { DECODE, FILL } from "../bundle/facts.gen.ts";
import type { Plan, Program } from "../bundle/plan.gen.ts";
import { ContextError, OutOfMemoryError } from "../errors.ts";
import type { Caches } from "./caches.ts";
import { checked } from "./device.ts";
import type { HostEmbeddings } from "./host-embeddings.ts";
import type { PlanRunner } from "./runner.ts";

/** The programs that run in the tab. Kernels of other programs are not compiled. */
export const TEXT_PROGRAMS = [FILL, DECODE] as const;
/** A program that runs in the tab. */
export type TextProgram = (typeof TEXT_PROGRAMS)[number];

/** Writes the inputs of steps and submits the steps. */
export class TextRunner {
  /** @param hostEmbeddings per-layer embeddings on the host; undefined if they are on the GPU */
  constructor(
    readonly runner: PlanRunner,
    readonly hostEmbeddings: HostEmbeddings | undefined,
  ) {}

  /** The plan whose programs are run. */
  get plan(): Plan {
    return this.runner.plan;
  }

  /** The keys and values that the steps read and write. */
  get caches(): Caches {
    return this.runner.caches;
  }

  /** Most tokens of a step of `fill`. */
  get chunkTokens(): number {
    return (this.plan.programs.fill as Program).max_tokens;
  }

  /** Most tokens of an image whose tokens see each other and are filled at once; undefined for other models. */
  get blockTokens(): number | undefined {
    return this.runner.buffers.hasControl("visible") ? this.chunkTokens : undefined;
  }

  /**
   * Writes the position and the tokens of the next step. A step of `decode` writes both for its successor.
   *
   * @param sampled ids sampled so far, from which the GPU derives its random numbers
   */
  writeStep(ids: Uint32Array, sampled = 0): void {
    const { buffers } = this.runner;
    buffers.writeControl("step", Uint32Array.of(this.caches.position, ids.length, sampled, 0));
    buffers.writeControl("ids", new Uint32Array(ids));
  }

  /**
   * Submits a step on the tokens `ids` from `position` on, after `writeStep` or a step of `decode` has written both. Writes
   * the rows of embeddings on the host before. An error of WebGPU rejects `accepted`, and the next `work.settled` throws it.
   *
   * @param after called after the step is encoded, to encode more commands
   * @throws ContextError if the GPU has no memory for longer caches; caches and position stay as they were
   */
  async run(
    program: TextProgram,
    ids: Uint32Array,
    position: number,
    after?: (encoder: GPUCommandEncoder) => void,
  ): Promise<{ accepted: Promise<unknown> }> {
    const { runner } = this;
    const tokens = ids.length;
    const launches = runner.launches(program, { T: tokens, P: position, C: this.caches.context });
    const missing = runner.missingCaches(launches);
    if (missing.length > 0) await this.#grow(missing, position, tokens);
    if (this.hostEmbeddings) await this.#writeRows(this.hostEmbeddings, ids);
    const stage = `${program} at position ${position}, ${tokens} tokens`;
    const submit = () => runner.submit(program, launches, { label: stage, after });
    const accepted = runner.work.submitted(checked(runner.device, stage, submit));
    this.caches.wrote(position + tokens);
    return { accepted };
  }

  async #grow(missing: readonly string[], position: number, tokens: number): Promise<void> {
    await this.caches.ensure(missing, position + tokens).catch((error: unknown) => {
      if (!(error instanceof OutOfMemoryError)) throw error;
      throw new ContextError(
        `The GPU has no memory for a conversation of more than ${position} tokens. Start a new one, or close other ` +
          "tabs that use the GPU.",
      );
    });
  }

  /** Writes the tokens' rows of embeddings on the host. */
  async #writeRows(embeddings: HostEmbeddings, ids: Uint32Array): Promise<void> {
    const { buffers } = this.runner;
    const { slots, writes } = await embeddings.place(ids);
    for (const { buffer, offset, bytes } of writes) buffers.write(buffer, bytes, offset);
    buffers.writeControl("slots", slots);
  }
}
