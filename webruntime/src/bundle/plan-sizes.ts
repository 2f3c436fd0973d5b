/** How large the parts of a plan are. */

import { evaluate, type Sizes } from "./expression.ts";
import type { Plan } from "./plan.gen.ts";

type Buffer = Plan["buffers"][string];

/** The largest step at the end of a context, the plan's own unless a smaller one was chosen. */
export function largestSizes(plan: Plan, context = plan.context): Sizes {
  const tokens = Math.max(0, ...Object.values(plan.programs).map((program) => program.max_tokens));
  return { T: tokens, P: context, C: context };
}

/** The bytes that bindings of a buffer see. */
export function bindingBytes(buffer: Buffer, sizes: Sizes): number {
  return buffer.kind === "state" || buffer.kind === "scratch" ? evaluate(buffer.bytes, sizes) : buffer.bytes;
}

/** A tower makes rows of embeddings and knows no vocabulary. */
export function isTower(plan: Plan): boolean {
  return plan.vocabulary === 0;
}

export function isGridSize(size: number, limit: number): boolean {
  return Number.isSafeInteger(size) && size >= 0 && size <= limit;
}
