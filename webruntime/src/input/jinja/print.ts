/** Prints values as Python does: str, repr, and json.dumps. */

import { fail } from "./errors.ts";
import { checkItems, checkLength } from "./size.ts";
import { codePoints } from "./text.ts";
import {
  compare,
  Dict,
  Func,
  Generator,
  Range,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** str(value) */
export function str(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Undefined) return "";
  return repr(value);
}

export function repr(value: Value): string {
  if (value === null) return "None";
  if (typeof value === "string") return quoted(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return floatText(value);
  if (value instanceof Range) return value.text;
  if (value instanceof Tuple) return value.length === 1 ? `(${repr(value[0] as Value)},)` : `(${members(value)})`;
  if (Array.isArray(value)) return `[${members(value)}]`;
  if (value instanceof Dict) return braced(value.entries());
  if (value instanceof View) return `${value.kind}([${members(value.items)}])`;
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Thing) return `<${value.kind} ${braced([...value.attributes])}>`;
  if (value instanceof Func) return `<${value.name}>`;
  return value instanceof Generator ? "<generator object>" : "";
}

function members(items: readonly Value[]): string {
  return joined(Array.from(items, repr), ", ");
}

function braced(entries: readonly (readonly [Value, Value])[]): string {
  const members = entries.map(([key, value]) => `${repr(key)}: ${repr(value)}`);
  return `{${joined(members, ", ")}}`;
}

/** Join texts with a length check: a short list may contain one list many times. */
function joined(texts: readonly string[], separator: string): string {
  checkItems(texts.length);
  checkLength(texts.reduce((length, text) => length + text.length + separator.length, 0));
  return texts.join(separator);
}

/** Return the shortest digits that read back as `value`, in Python's notation. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  if (Object.is(value, -0)) return "-0.0";
  const [mantissa = "", power = "0"] = value.toExponential().split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) return `${mantissa}e${exponent < 0 ? "-" : "+"}${padded(Math.abs(exponent))}`;
  if (exponent < 0) return value.toFixed(Math.max(mantissa.replace(/[-.]/g, "").length - 1 - exponent, 1));
  const text = value.toString();
  return text.includes(".") ? text : `${text}.0`;
}

function padded(exponent: number): string {
  return exponent.toString().padStart(2, "0");
}

const ESCAPES: Record<string, string> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
const UNPRINTABLE = /[\p{C}\p{Z}]/u;

/** Return the repr of a string: in single quotes, unless it contains a single quote and no double quote. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inside = codePoints(text).map((c) => {
    if (c === quote) return `\\${c}`;
    return ESCAPES[c] ?? (c !== " " && UNPRINTABLE.test(c) ? hexadecimal(c) : c);
  });
  return quote + inside.join("") + quote;
}

function hexadecimal(character: string): string {
  const code = character.codePointAt(0) as number;
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

export interface JsonOptions {
  ascii: boolean;
  /** The indentation of a level; undefined for one line. */
  indent: string | undefined;
  /** The separators between members and after keys. */
  separators: readonly [string, string];
  sorted: boolean;
}

/** json.dumps(value) */
export function json(value: Value, options: JsonOptions, level = 0): string {
  if (typeof value === "string") return jsonString(value, options.ascii);
  if (value === null) return "null";
  if (typeof value === "number") return jsonFloat(value);
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (Array.isArray(value) && !(value instanceof Range)) {
    return block(
      "[]",
      value.map((one) => json(one, options, level + 1)),
      options,
      level,
    );
  }
  if (!(value instanceof Dict)) fail(`Object of type ${typeName(value)} is not JSON serializable`, "TypeError");
  const entries = value.entries();
  if (options.sorted) entries.sort(([left], [right]) => compare(left, right));
  const written = entries.map(
    ([key, one]) => jsonString(jsonKey(key), options.ascii) + options.separators[1] + json(one, options, level + 1),
  );
  return block("{}", written, options, level);
}

function block(brackets: string, items: readonly string[], { indent, separators }: JsonOptions, level: number): string {
  if (items.length === 0) return brackets;
  const [open, close] = [brackets.charAt(0), brackets.charAt(1)];
  if (indent === undefined) return open + joined(items, separators[0]) + close;
  checkLength(indent.length * (level + 1) * (items.length + 1));
  const line = `\n${indent.repeat(level + 1)}`;
  return `${open}${line}${joined(items, separators[0] + line)}
${indent.repeat(level)}${close}`;
}

function jsonKey(key: Value): string {
  if (typeof key === "string") return key;
  if (key === null || typeof key === "boolean" || typeof key === "bigint") return key === null ? "null" : String(key);
  if (typeof key === "number") return jsonFloat(key);
  return fail(`keys must be str, int, float, bool or None, not ${typeName(key)}`, "TypeError");
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value < 0 ? "-Infinity" : "Infinity";
  return floatText(value);
}

function jsonString(text: string, ascii: boolean): string {
  const plain = JSON.stringify(text);
  if (!ascii) return plain;
  return plain.replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
