/** Python's arithmetic. */

import { fail } from "./errors.ts";
import { formatPercent } from "./format.ts";
import { checkItems, checkLength } from "./size.ts";
import { isNumeric, numeric, Tuple, tuple, typeName, Undefined, type Value } from "./values.ts";

const MAX_DIGITS = 10_000;

export function arithmetic(operator: string, left: Value, right: Value): Value {
  if (left instanceof Undefined) left.fail();
  if (operator === "%" && typeof left === "string") return formatPercent(left, right);
  if (right instanceof Undefined) right.fail();
  if (isNumeric(left) && isNumeric(right)) return ofNumbers(operator, numeric(left), numeric(right));
  if (operator === "+") return joined(left, right);
  if (operator === "*") {
    if (isNumeric(right)) return repeated(left, numeric(right));
    if (isNumeric(left)) return repeated(right, numeric(left));
  }
  return unsupported(operator, left, right);
}

function unsupported(operator: string, left: Value, right: Value): never {
  const types = `'${typeName(left)}' and '${typeName(right)}'`;
  return fail(`unsupported operand type(s) for ${operator}: ${types}`, "TypeError");
}

function joined(left: Value, right: Value): Value {
  if (typeof left === "string" && typeof right === "string") {
    checkLength(left.length + right.length);
    return left + right;
  }
  if (Array.isArray(left) && Array.isArray(right) && typeName(left) === typeName(right)) {
    checkItems(left.length + right.length);
    return left instanceof Tuple ? tuple([...left, ...right]) : [...left, ...right];
  }
  if (typeof left === "string" || Array.isArray(left)) {
    const kind = typeName(left);
    fail(`can only concatenate ${kind} (not "${typeName(right)}") to ${kind}`, "TypeError");
  }
  return unsupported("+", left, right);
}

function repeated(value: Value, times: bigint | number): Value {
  if (typeof times === "number" || (typeof value !== "string" && !Array.isArray(value))) {
    return unsupported("*", value, times);
  }
  const count = Math.max(Number(times), 0);
  if (typeof value === "string") checkLength(count * value.length);
  else checkItems(count * value.length);
  if (typeof value === "string") return value.repeat(count);
  const items = Array.from({ length: count }, () => [...value]).flat();
  return value instanceof Tuple ? tuple(items) : items;
}

function ofNumbers(operator: string, left: bigint | number, right: bigint | number): Value {
  if (operator === "/") return ofFloats(operator, Number(left), Number(right));
  if (typeof left === "bigint" && typeof right === "bigint") return ofInts(operator, left, right);
  return ofFloats(operator, Number(left), Number(right));
}

function ofInts(operator: string, left: bigint, right: bigint): Value {
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "**":
      if (right < 0n) return ofFloats(operator, Number(left), Number(right));
      checkPower(left, right);
      return left ** right;
  }
  if (right === 0n) fail("integer division or modulo by zero", "ZeroDivisionError");
  const rest = left % right;
  const floored = rest !== 0n && rest < 0n !== right < 0n;
  if (operator === "%") return floored ? rest + right : rest;
  return left / right - (floored ? 1n : 0n);
}

function checkPower(base: bigint, power: bigint): void {
  if (BigInt(base.toString().length) * power > BigInt(MAX_DIGITS)) fail("the power is too large", "LimitError");
}

function ofFloats(operator: string, left: number, right: number): number {
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "**":
      return left ** right;
  }
  if (right === 0) fail("float division by zero", "ZeroDivisionError");
  if (operator === "/") return left / right;
  const rest = left % right;
  const modulo = rest !== 0 && rest < 0 !== right < 0 ? rest + right : rest;
  return operator === "%" ? modulo : Math.round((left - modulo) / right);
}

export function negative(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (isNumeric(value)) return -numeric(value);
  return fail(`bad operand type for unary -: '${typeName(value)}'`, "TypeError");
}
