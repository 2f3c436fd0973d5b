/** Runs steps of a text model: a plan's program on some tokens. */

import { DECODE, FILL } from "../bundle/facts.gen.ts";
import type { Plan, Program } from "../bundle/plan.gen.ts";
import { ContextError, OutOfMemoryError } from "../errors.ts";
import type { Caches } from "./caches.ts";
import { checked } from "./device.ts";
import type { HostTables } from "./host-table.ts";
import type { PlanRunner } from "./runner.ts";

/** The programs that run here; kernels of others are not compiled. */
export const TEXT_PROGRAMS = [FILL, DECODE] as const;
export type TextProgram = (typeof TEXT_PROGRAMS)[number];

export class TextRunner {
  /** @param hostTables tables that lie on the host; undefined where none does */
  constructor(
    readonly runner: PlanRunner,
    readonly hostTables: HostTables | undefined,
  ) {}

  /** The plan whose programs are run. */
  get plan(): Plan {
    return this.runner.plan;
  }

  /** The keys and values that the steps read and write. */
  get caches(): Caches {
    return this.runner.caches;
  }

  /** The most tokens that a step of `fill` takes. */
  get chunkTokens(): number {
    return (this.plan.programs.fill as Program).max_tokens;
  }

  /** The most tokens of an image, where an image's tokens see each other and are filled at once. */
  get blockTokens(): number | undefined {
    return this.runner.buffers.hasControl("visible") ? this.chunkTokens : undefined;
  }

  /**
   * Writes where the next step begins and its tokens. A step of `decode` leaves both for the step after it.
   *
   * @param sampled ids sampled so far: the GPU counts along, and draws its random numbers by this count
   */
  writeStep(ids: Uint32Array, sampled = 0): void {
    const { buffers } = this.runner;
    buffers.writeControl("step", Uint32Array.of(this.caches.position, ids.length, sampled, 0));
    buffers.writeControl("ids", new Uint32Array(ids));
  }

  /**
   * Submits a step on the tokens `ids` from `position` on, which `writeStep` or the step before has left on the GPU.
   * Rows of host-resident tables are written before. An error that WebGPU finds rejects `accepted` of the result, and is
   * thrown by the next `work.settled`.
   *
   * Throws ContextError where the GPU has no memory for longer caches: they, and the position, are as they were.
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
    if (this.hostTables) await this.#writeRows(this.hostTables, ids);
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

  /** Writes the tokens' rows of tables that lie on the host. */
  async #writeRows(tables: HostTables, ids: Uint32Array): Promise<void> {
    const { buffers } = this.runner;
    const { places, writes } = await tables.place(ids);
    for (const { buffer, offset, bytes } of writes) buffers.write(buffer, bytes, offset);
    buffers.writeControl("places", places);
  }
}
