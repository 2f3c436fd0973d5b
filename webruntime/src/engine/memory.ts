/** What a bundle will take of the GPU's memory, as its manifest states it. */

import { evaluate } from "./expression.ts";
import type { Manifest } from "./manifest.gen.ts";

type PlanEntry = Manifest["plans"][number];

/** GPU bytes of a plan with a context, in its largest step. */
export interface MemoryNeed {
  weights: number;
  state: number;
  scratch: number;
  total: number;
}

export function memoryNeed({ tokens, memory }: PlanEntry, context: number): MemoryNeed {
  const sizes = { T: tokens, P: context, C: context };
  const { weights } = memory;
  const state = evaluate(memory.state, sizes);
  const scratch = evaluate(memory.scratch, sizes);
  return { weights, state, scratch, total: weights + state + scratch };
}

/**
 * What the towers add once all of those that a device with `activation` uses are loaded: their weights, and the scratch
 * of the one that needs most, since they work one at a time.
 */
export function towersNeed({ towers }: Manifest, activation: PlanEntry["activation"]): number {
  const entries = [...towers.image, ...towers.audio].filter((entry) => entry.activation === activation);
  const needs = entries.map((entry) => memoryNeed(entry, entry.tokens));
  const weights = needs.reduce((sum, need) => sum + need.weights, 0);
  return weights + Math.max(0, ...needs.map(({ scratch }) => scratch));
}
