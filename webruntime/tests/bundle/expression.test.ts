import { describe, expect, test } from "vitest";
import { evaluate } from "../../src/bundle/expression.ts";
import type { Expr } from "../../src/bundle/plan.gen.ts";

const SIZES = { T: 5, P: 100, C: 4096 };

describe("evaluate", () => {
  const cases: [Expr, number][] = [
    [7, 7],
    ["T", 5],
    ["P", 100],
    ["C", 4096],
    [["+", "P", "T"], 105],
    [["-", "T", "P"], -95],
    [["max", ["-", "T", "P"], 0], 0],
    [["*", "C", 4], 16384],
    [["ceildiv", "P", 64], 2],
    [["ceildiv", 128, 64], 2],
    [["ceildiv", 129, 64], 3],
    [["min", ["ceildiv", ["+", "P", "T"], 64], 8], 2],
  ];
  test.each(cases)("%j is %i", (expression, value) => {
    expect(evaluate(expression, SIZES)).toBe(value);
  });
});
