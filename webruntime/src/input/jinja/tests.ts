/** Tests, which follow `is`. */

import { fail } from "./errors.ts";
import { arithmetic } from "./operators.ts";
import { str } from "./print.ts";
import { isLower, isUpper } from "./text.ts";
import {
  compare,
  contains,
  Dict,
  equal,
  Func,
  Generator,
  isNumeric,
  Thing,
  Undefined,
  type Value,
  View,
} from "./values.ts";

export type Test = (value: Value, args: Value[]) => boolean;

const ordered =
  (operator: string, fits: (sign: number) => boolean): Test =>
  (value, [other = null]) =>
    fits(compare(value, other, operator));

function remainder(value: Value, divisor: Value): Value {
  return arithmetic("%", value, divisor);
}

const equals: Test = (value, [other = null]) => equal(value, other);
const differs: Test = (value, args) => !equals(value, args);
const greater = ordered(">", (sign) => sign > 0);
const less = ordered("<", (sign) => sign < 0);
const atLeast = ordered(">=", (sign) => sign >= 0);
const atMost = ordered("<=", (sign) => sign <= 0);

function iterable(value: Value): boolean {
  if (typeof value === "string" || Array.isArray(value)) return true;
  return value instanceof Dict || value instanceof View || value instanceof Generator || value instanceof Undefined;
}

export const TESTS: Record<string, Test> = {
  boolean: (value) => typeof value === "boolean",
  callable: (value) =>
    value instanceof Func || value instanceof Undefined || (value instanceof Thing && value.func !== undefined),
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, [divisor = null]) => equal(remainder(value, divisor), 0n),
  escaped: () => false,
  even: (value) => equal(remainder(value, 2n), 0n),
  false: (value) => value === false,
  float: (value) => typeof value === "number",
  in: (value, [container = null]) => contains(container, value),
  integer: (value) => typeof value === "bigint",
  iterable,
  lower: (value) => isLower(str(value)),
  mapping: (value) => value instanceof Dict,
  none: (value) => value === null,
  number: (value) => isNumeric(value),
  odd: (value) => equal(remainder(value, 2n), 1n),
  sameas: (value, [other = null]) => value === other,
  // An undefined value passes: in Python it has a length and members.
  sequence: (value) =>
    typeof value === "string" || Array.isArray(value) || value instanceof Dict || value instanceof Undefined,
  string: (value) => typeof value === "string",
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) => isUpper(str(value)),
  eq: equals,
  equalto: equals,
  "==": equals,
  ne: differs,
  "!=": differs,
  gt: greater,
  greaterthan: greater,
  ">": greater,
  lt: less,
  lessthan: less,
  "<": less,
  ge: atLeast,
  ">=": atLeast,
  le: atMost,
  "<=": atMost,
};

export function findTest(name: string): Test {
  const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
  return test ?? fail(`No test named '${name}'.`, "TemplateAssertionError");
}
