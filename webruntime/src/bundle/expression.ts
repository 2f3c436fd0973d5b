/** Evaluates the expressions of plans: arithmetic on T, P and C, as data. */

import type { Expr } from "./plan.gen.ts";

/** The values of the symbols in expressions, in tokens. */
export interface Sizes {
  /** Tokens of the step. */
  T: number;
  /** Tokens in the caches before the step. */
  P: number;
  /** The context chosen at load. */
  C: number;
}

/** The value of an expression. Division by 0 gives Infinity or NaN. */
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
