/** What a bundle will take of the GPU's memory, as its manifest states it. */

import { DeviceError } from "../errors.ts";
import type { Tables } from "./dispatches.ts";
import { evaluate } from "./expression.ts";
import type { HOST_TABLE_CHOICES } from "./facts.gen.ts";
import type { Manifest } from "./manifest.gen.ts";

export type HostTableChoice = (typeof HOST_TABLE_CHOICES)[number];

type PlanEntry = Manifest["plans"][number];

/** GPU bytes of a plan with a context, in its largest step. weights: with the tables, or the rows of them. */
export interface MemoryNeed {
  weights: number;
  state: number;
  scratch: number;
  total: number;
}

/** What a plan takes with this context and its look-up tables there. */
export function memoryNeed({ tokens, memory }: PlanEntry, context: number, tables: Tables = "gpu"): MemoryNeed {
  const sizes = { T: tokens, P: context, C: context };
  const weights = memory.weights + (tables === "gpu" ? memory.tables : memory.rows);
  const state = evaluate(memory.state, sizes);
  const scratch = evaluate(memory.scratch, sizes);
  return { weights, state, scratch, total: weights + state + scratch };
}

const OPTIONS: Record<HostTableChoice, Tables[]> = { auto: ["gpu", "host"], never: ["gpu"], always: ["host"] };

/** Browsers tell the machine's memory only roughly, and no more than this many GiB. */
const MOST_TOLD_GIB = 8;
/** Of the memory that processor and GPU share, what a tab's GPU buffers may count on. */
const SHARE_OF_MACHINE = 0.5;

/** Roughly the bytes of memory of the whole machine, where the browser says that it is small. */
export function smallMachine(): number | undefined {
  const { deviceMemory } = (globalThis.navigator ?? {}) as { deviceMemory?: number };
  return deviceMemory !== undefined && deviceMemory < MOST_TOLD_GIB ? deviceMemory * 2 ** 30 : undefined;
}

/** Whether so many bytes are more than a tab may count on. */
export function isTight(bytes: number, machine: number | undefined): boolean {
  return machine !== undefined && bytes > machine * SHARE_OF_MACHINE;
}

/**
 * Where look-up tables are to lie, and where else if there turns out to be no room for them. Throws DeviceError where
 * the plan does not fit into `memory` bytes so, and where there is no storage for tables that have to stay on the host.
 *
 * Without `memory` no GPU is refused: what `machine` has only decides which way is tried first.
 */
export function chooseTables(
  entry: PlanEntry,
  context: number,
  options: { memory?: number | undefined; hostTable?: HostTableChoice | undefined },
  storage: boolean,
  machine = smallMachine(),
): [Tables, ...Tables[]] {
  const { memory = Number.POSITIVE_INFINITY, hostTable = "auto" } = options;
  const allowed = entry.memory.tables > 0 ? OPTIONS[hostTable] : OPTIONS.never;
  const need = (tables: Tables) => memoryNeed(entry, context, tables).total;
  const fitting = allowed.filter((tables) => need(tables) <= memory);
  const [first, ...rest] = fitting.filter((tables) => tables === "gpu" || storage);
  if (first) {
    const [second] = rest;
    const tight = options.memory === undefined && isTight(need(first), machine);
    return tight && second ? [second, first] : [first, ...rest];
  }
  if (fitting.length > 0) throw noStorage(need("gpu"), entry.memory.tables);
  throw new DeviceError(
    `The model needs ${Math.min(...allowed.map(need))} bytes of the GPU's memory with a context of ${context} tokens, ` +
      `more than the ${memory} allowed. Choose a smaller context or a smaller model.`,
  );
}

function noStorage(needed: number, tables: number): DeviceError {
  return new DeviceError(
    `This browser keeps no files for the page, so the model's look-up tables (${tables} bytes) cannot stay out of the ` +
      `GPU's memory, of which the model then needs ${needed} bytes. Open the page outside a private window or in a ` +
      "current browser, or choose a smaller model.",
  );
}

/**
 * What the towers add once all are loaded: their weights, and the scratch of the one that needs most, since they work
 * one at a time.
 */
export function towersNeed({ towers }: Manifest): number {
  const needs = [...towers.image, ...towers.audio].map((entry) => memoryNeed(entry, entry.tokens));
  const weights = needs.reduce((sum, need) => sum + need.weights, 0);
  return weights + Math.max(0, ...needs.map(({ scratch }) => scratch));
}
