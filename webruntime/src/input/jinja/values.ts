/**
 * Python's values: None is null, an int a bigint, a float a number, a list an array; what Python has and JavaScript has
 * not are classes of their own.
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

/** A name or member that is not there: "" where it is printed, an error where it is used. */
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
  /** What is made of a tuple's members is a list. */
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

  /** As it prints. */
  text = "";
}

/** A dictionary, in the order in which its keys came. */
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

/** dict.items() and its like: it has a length, but no members by number. */
export class View {
  readonly kind: string;
  readonly items: Value[];

  constructor(kind: string, items: Value[]) {
    this.kind = kind;
    this.items = items;
  }
}

/** What filters like map give: true even when empty, and read once. */
export class Generator {
  #items: Value[];

  constructor(items: Value[]) {
    this.#items = items;
  }

  /** The next item. */
  next(): Value | undefined {
    return this.#items.shift();
  }

  take(): Value[] {
    const items = this.#items;
    this.#items = [];
    return items;
  }
}

/** Something to be called: positional arguments, then named ones. */
export class Func {
  readonly name: string;
  readonly call: (args: Value[], named: Named) => Value;

  constructor(name: string, call: (args: Value[], named: Named) => Value) {
    this.name = name;
    this.call = call;
  }
}

/** An object with attributes: a namespace, a loop. */
export class Thing {
  readonly kind: string;
  readonly attributes: Map<string, Value>;
  /** Where the object itself can be called. */
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

/** A key that is the same for equal values: 1, 1.0 and True are. */
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

/** A bool or int as an int; a float as such. */
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

/** Negative, zero or positive. Throws for what Python does not order. */
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

/** The members of what can be gone through. */
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

/** An index or count. */
export function integer(value: Value, what = "an integer is required"): number {
  if (value instanceof Undefined) value.fail();
  if (typeof value === "boolean" || typeof value === "bigint") return Number(value);
  return fail(`'${typeName(value)}' object cannot be interpreted as an integer: ${what}`, "TypeError");
}

/** A number of JSON that Python reads as a float, though JavaScript's number is whole: 3.0. */
export class Float {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/**
 * A value of JavaScript as Python's. Whole numbers up to 2^53 are ints, and so are bigints; other numbers are floats, and
 * Float is. Lone surrogates become U+FFFD. Of plain objects and Maps come dictionaries; undefined members are left out.
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
