/** Sizes as the plan writes them: arithmetic on T, P and C as data. */

import type { Expr } from "./plan.gen.ts";

/** T: tokens in this step. P: tokens in the caches before it. C: the context chosen at load. */
export interface Sizes {
  T: number;
  P: number;
  C: number;
}

/** The value of an expression; intermediate results may be negative. Division by 0 gives Infinity or NaN. */
export function evaluate(expression: Expr, sizes: Sizes): number {
  if (typeof expression === "number") return expression;
  if (typeof expression === "string") return sizes[expression];
  const [operator, left, right] = expression;
  const a = evaluate(left, sizes);
  const b = evaluate(right, sizes);
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "ceildiv":
      return Math.ceil(a / b);
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
  }
}
