/** Reads members of values, as the sandbox of transformers does: nothing that changes a value, nothing private. */

import { fail } from "./errors.ts";
import { METHODS } from "./methods.ts";
import { checkItems } from "./size.ts";
import { codePoints } from "./text.ts";
import {
  Dict,
  Func,
  isNumeric,
  type Named,
  numeric,
  Range,
  Thing,
  Tuple,
  tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** value.name */
export function attribute(value: Value, name: string): Value {
  if (value instanceof Undefined) value.fail();
  let found = own(value, name);
  if (found === undefined && value instanceof Dict) found = value.get(name);
  return found === undefined ? missing(value, name) : found;
}

/** value[key] */
export function item(value: Value, key: Value): Value {
  if (value instanceof Undefined) value.fail();
  let found = member(value, key);
  if (found === undefined && typeof key === "string") found = own(value, key);
  return found === undefined ? missing(value, key) : found;
}

function missing(value: Value, key: Value): Undefined {
  if (typeof key === "string") {
    const owner = value === null ? "None" : `'${typeName(value)} object'`;
    return new Undefined(`${owner} has no attribute '${key}'`);
  }
  return new Undefined(`${typeName(value)} object has no element ${typeof key === "bigint" ? key : typeName(key)}`);
}

function own(value: Value, name: string): Value | undefined {
  if (value instanceof Thing) return value.attributes.get(name);
  const methods = METHODS[typeName(value)];
  const method = methods && Object.hasOwn(methods, name) ? methods[name] : undefined;
  return method && new Func(`built-in method ${name}`, (args, named) => method(value, args, named));
}

function member(value: Value, key: Value): Value | undefined {
  if (value instanceof Dict) return isHashable(key) ? value.get(key) : undefined;
  if (typeof value !== "string" && !Array.isArray(value)) return undefined;
  if (!isNumeric(key) || typeof key === "number") return undefined;
  const items = typeof value === "string" ? codePoints(value) : value;
  const index = Number(numeric(key));
  return items[index < 0 ? index + items.length : index];
}

function isHashable(key: Value): boolean {
  return !(key instanceof Dict) && (!Array.isArray(key) || key instanceof Tuple);
}

/** value[start:stop:step]; null for an absent bound */
export function slice(value: Value, [start, stop, step]: readonly [Value, Value, Value]): Value {
  if (value instanceof Undefined) value.fail();
  if (typeof value !== "string" && !Array.isArray(value)) {
    fail(`'${typeName(value)}' object cannot be sliced`, "TypeError");
  }
  const items = typeof value === "string" ? codePoints(value) : value;
  const picked = indices(items.length, bound(start), bound(stop), bound(step)).map((i) => items[i] as Value);
  if (typeof value === "string") return picked.join("");
  return value instanceof Tuple ? tuple(picked) : picked;
}

function bound(value: Value): number | undefined {
  if (value === null) return undefined;
  if (isNumeric(value) && typeof value !== "number") return Number(numeric(value));
  return fail("slice indices must be integers or None or have an __index__ method", "TypeError");
}

function indices(length: number, start?: number, stop?: number, step = 1): number[] {
  if (step === 0) fail("slice step cannot be zero", "ValueError");
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const clamp = (index: number) => Math.min(Math.max(index < 0 ? index + length : index, low), high);
  const from = start === undefined ? (step > 0 ? low : high) : clamp(start);
  const to = stop === undefined ? (step > 0 ? high : low) : clamp(stop);
  const found: number[] = [];
  for (let i = from; step > 0 ? i < to : i > to; i += step) found.push(i);
  return found;
}

export function call(value: Value, args: Value[], named: Named = new Map()): Value {
  if (value instanceof Undefined) value.fail();
  const func = value instanceof Thing ? value.func : value;
  if (func instanceof Func) return func.call(args, named);
  return fail(`'${typeName(value)}' object is not callable`, "TypeError");
}

/** range(…) */
export function makeRange(args: readonly Value[]): Range {
  const numbers = args.map((one) => {
    if (one instanceof Undefined) one.fail();
    return bound(one) ?? fail("'NoneType' object cannot be interpreted as an integer", "TypeError");
  });
  const [start = 0, stop = 0, step = 1] = numbers.length < 2 ? [0, ...numbers] : numbers;
  if (numbers.length === 0 || numbers.length > 3) fail("range expected 1 to 3 arguments", "TypeError");
  if (step === 0) fail("range() arg 3 must not be zero", "ValueError");
  if ((stop - start) / step > 100_000) fail("Range too big.", "OverflowError");
  checkItems(Math.max(Math.ceil((stop - start) / step), 0));
  const range = new Range();
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) range.push(BigInt(i));
  range.text = `range(${start}, ${stop}${step === 1 ? "" : `, ${step}`})`;
  return range;
}
