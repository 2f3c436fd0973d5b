/**
 * Python's values in JavaScript: None is null, an int a bigint, a float a number, a list an array. Types that
 * JavaScript lacks have classes here.
 */

import { fail, TemplateError } from "./errors.ts";
import { checkItems } from "./size.ts";
import { codePoints, compareText, wellFormed } from "./text.ts";

export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Value[]
  | Dict
  | View
  | Generator
  | Undefined
  | Func
  | Thing;
export type Named = Map<string, Value>;

/** An absent name or member: prints as "", and throws where it is used. */
export class Undefined {
  readonly #message: string;

  constructor(message: string) {
    this.#message = message;
  }

  fail(): never {
    return fail(this.#message, "UndefinedError");
  }
}

export class Tuple extends Array<Value> {
  /** Methods of Array on a tuple return lists. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }
}

export function tuple(items: readonly Value[]): Tuple {
  const made = new Tuple();
  for (const one of items) made.push(one);
  return made;
}

export class Range extends Array<Value> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  /** The printed form. */
  text = "";
}

/** A dictionary, in insertion order. */
export class Dict {
  readonly #entries = new Map<unknown, [Value, Value]>();

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: Value): boolean {
    return this.#entries.has(hash(key));
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hash(key))?.[1];
  }

  set(key: Value, value: Value): void {
    const id = hash(key);
    this.#entries.set(id, [this.#entries.get(id)?.[0] ?? key, value]);
  }

  entries(): [Value, Value][] {
    return [...this.#entries.values()];
  }

  keys(): Value[] {
    return this.entries().map(([key]) => key);
  }
}

/** dict.items() and similar views: they have a length, but no index. */
export class View {
  readonly kind: string;
  readonly items: Value[];

  constructor(kind: string, items: Value[]) {
    this.kind = kind;
    this.items = items;
  }
}

/** The result of filters such as map: true even when empty, and read once. */
export class Generator {
  #items: Value[];

  constructor(items: Value[]) {
    this.#items = items;
  }

  /** Return the next item. */
  next(): Value | undefined {
    return this.#items.shift();
  }

  take(): Value[] {
    const items = this.#items;
    this.#items = [];
    return items;
  }
}

/** A callable: takes positional arguments, then named ones. */
export class Func {
  readonly name: string;
  readonly call: (args: Value[], named: Named) => Value;

  constructor(name: string, call: (args: Value[], named: Named) => Value) {
    this.name = name;
    this.call = call;
  }
}

/** An object with attributes: a namespace or a loop. */
export class Thing {
  readonly kind: string;
  readonly attributes: Map<string, Value>;
  /** The function that a call of the object runs, if it is callable. */
  readonly func: Func | undefined;

  constructor(kind: string, attributes: Iterable<readonly [string, Value]>, func?: Func) {
    this.kind = kind;
    this.attributes = new Map(attributes);
    this.func = func;
  }
}

export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (value instanceof Tuple) return "tuple";
  if (value instanceof Range) return "range";
  if (Array.isArray(value)) return "list";
  if (value instanceof Dict) return "dict";
  if (value instanceof View) return value.kind;
  if (value instanceof Generator) return "generator";
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Func) return "function";
  if (value instanceof Thing) return value.kind;
  return { boolean: "bool", bigint: "int", number: "float", string: "str" }[typeof value as "string"];
}

/** Return a key that is equal for equal values: 1, 1.0 and True are equal. */
function hash(key: Value): unknown {
  if (typeof key === "boolean") return BigInt(key);
  if (typeof key === "number") return Number.isInteger(key) ? BigInt(key) : key;
  if (key instanceof Tuple) return `\0${key.map((one) => `${typeName(one)} ${String(hash(one))}`).join()}`;
  if (Array.isArray(key) || key instanceof Dict) fail(`unhashable type: '${typeName(key)}'`, "TypeError");
  return key;
}

export function isTrue(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Dict) return value.size > 0;
  if (value instanceof View) return value.items.length > 0;
  if (value instanceof Undefined) return false;
  return Boolean(value);
}

type Numeric = boolean | bigint | number;

export function isNumeric(value: Value): value is Numeric {
  return typeof value === "boolean" || typeof value === "bigint" || typeof value === "number";
}

/** Return a bool or int as a bigint, and a float unchanged. */
export function numeric(value: Numeric): bigint | number {
  return typeof value === "boolean" ? BigInt(value) : value;
}

export function equal(left: Value, right: Value): boolean {
  // biome-ignore lint/suspicious/noDoubleEquals: an int and a float are equal where their numbers are
  if (isNumeric(left) && isNumeric(right)) return numeric(left) == numeric(right);
  if (left instanceof Undefined) return right instanceof Undefined;
  if (Array.isArray(left) && Array.isArray(right)) {
    return (
      typeName(left) === typeName(right) &&
      left.length === right.length &&
      left.every((one, i) => equal(one, right[i] as Value))
    );
  }
  if (left instanceof Dict && right instanceof Dict) {
    return (
      left.size === right.size &&
      left.entries().every(([key, one]) => right.has(key) && equal(one, right.get(key) as Value))
    );
  }
  return left === right;
}

/** Compare two values: negative, zero or positive. Throws for values that Python does not order. */
export function compare(left: Value, right: Value, operator = "<"): number {
  if (left instanceof Undefined) left.fail();
  if (right instanceof Undefined) right.fail();
  if (typeof left === "string" && typeof right === "string") return compareText(left, right);
  if (isNumeric(left) && isNumeric(right)) {
    const [a, b] = [numeric(left), numeric(right)];
    if (a < b) return -1;
    return a > b ? 1 : equal(left, right) ? 0 : Number.NaN;
  }
  if (Array.isArray(left) && Array.isArray(right) && typeName(left) === typeName(right)) {
    const other = right;
    const first = left.findIndex((one, i) => i >= other.length || !equal(one, other[i] as Value));
    if (first < 0 || first >= right.length) return left.length - right.length;
    return compare(left[first] as Value, right[first] as Value, operator);
  }
  const types = `'${typeName(left)}' and '${typeName(right)}'`;
  return fail(`'${operator}' not supported between instances of ${types}`, "TypeError");
}

/** Return the members of an iterable value. */
export function iterate(value: Value): Value[] {
  const items = itemsOf(value);
  checkItems(items.length);
  return items;
}

function itemsOf(value: Value): Value[] {
  if (typeof value === "string") return codePoints(value);
  if (Array.isArray(value)) return value;
  if (value instanceof Dict) return value.keys();
  if (value instanceof View) return value.items;
  if (value instanceof Generator) return value.take();
  if (value instanceof Undefined) return [];
  return fail(`'${typeName(value)}' object is not iterable`, "TypeError");
}

export function contains(container: Value, value: Value): boolean {
  if (typeof container === "string") {
    if (value instanceof Undefined) value.fail();
    if (typeof value === "string") return container.includes(value);
    fail(`'in <string>' requires string as left operand, not ${typeName(value)}`, "TypeError");
  }
  if (container instanceof Dict) return container.has(value);
  if (isNumeric(container) || container === null || container instanceof Func) {
    fail(`argument of type '${typeName(container)}' is not iterable`, "TypeError");
  }
  return iterate(container).some((one) => equal(one, value));
}

/** Return an index or count. */
export function integer(value: Value, what = "an integer is required"): number {
  if (value instanceof Undefined) value.fail();
  if (typeof value === "boolean" || typeof value === "bigint") return Number(value);
  return fail(`'${typeName(value)}' object cannot be interpreted as an integer: ${what}`, "TypeError");
}

/** A JSON number that Python reads as a float, although JavaScript's number is whole: 3.0. */
export class Float {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/**
 * Convert a JavaScript value to Python's. Whole numbers up to 2^53 and bigints become ints; other numbers and Float
 * become floats. Lone surrogates become U+FFFD. Plain objects and Maps become dictionaries, without undefined members.
 */
export function toValue(value: unknown): Value {
  switch (typeof value) {
    case "string":
      return wellFormed(value);
    case "number":
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
    case "boolean":
    case "bigint":
      return value;
    case "object":
      return value === null ? null : ofObject(value);
  }
  throw new TemplateError(`A ${typeof value} cannot be given to a template.`, "TypeError");
}

function ofObject(value: object): Value {
  if (value instanceof Float) return value.value;
  if (Array.isArray(value)) return value.map(toValue);
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return new Dict(entries.filter(([, one]) => one !== undefined).map(([key, one]) => [toValue(key), toValue(one)]));
}
