/** Sizes of the parts of a plan. */

import { evaluate, type Sizes } from "./expression.ts";
import type { Plan } from "./plan.gen.ts";

type Buffer = Plan["buffers"][string];

/** The sizes of the largest step at the end of a context: by default the plan's own. */
export function largestSizes(plan: Plan, context = plan.context): Sizes {
  const tokens = Math.max(0, ...Object.values(plan.programs).map((program) => program.max_tokens));
  return { T: tokens, P: context, C: context };
}

/** The bytes of a buffer that its bindings cover. */
export function bindingBytes(buffer: Buffer, sizes: Sizes): number {
  return buffer.kind === "state" || buffer.kind === "scratch" ? evaluate(buffer.bytes, sizes) : buffer.bytes;
}

/** Whether a plan is that of a tower: it has no vocabulary. */
export function isTower(plan: Plan): boolean {
  return plan.vocabulary === 0;
}

/** Whether `size` is a valid number of workgroups along one axis of a dispatch, at most `limit`. */
export function isGridSize(size: number, limit: number): boolean {
  return Number.isSafeInteger(size) && size >= 0 && size <= limit;
}
