/** Formats text in Python's two ways: "%" and str.format. */

import { attribute, item } from "./access.ts";
import { fail } from "./errors.ts";
import { floatText, repr, str } from "./print.ts";
import { checkLength } from "./size.ts";
import { codePoints, lengthOf } from "./text.ts";
import { Dict, integer, isNumeric, type Named, numeric, Tuple, typeName, type Value } from "./values.ts";

const PERCENT = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d*)(?:\.(\*|\d+))?[hlL]?([\s\S])?/g;

/** `text % values` */
export function formatPercent(text: string, values: Value): string {
  const given = values instanceof Tuple ? [...values] : [values];
  let used = 0;
  const next = (): Value => {
    const value = given[used++];
    return value === undefined ? fail("not enough arguments for format string", "TypeError") : value;
  };
  const made = text.replace(PERCENT, (_, key: string | undefined, flags: string, width: string, digits, kind) => {
    if (kind === "%") return "%";
    const columns = width === "*" ? integer(next()) : Number(width);
    const precision = digits === "*" ? integer(next()) : digits === undefined ? undefined : Number(digits);
    const value = key === undefined ? next() : item(values, key);
    return aligned(percent(kind, value, precision, flags), columns, flags.includes("-") ? "<" : ">", zero(flags, kind));
  });
  // As in Python, a value whose members can be read by key may leave some unused.
  const mapping = values instanceof Dict || (Array.isArray(values) && !(values instanceof Tuple));
  if (used < given.length && !mapping) {
    fail("not all arguments converted during string formatting", "TypeError");
  }
  return made;
}

function zero(flags: string, kind: string): string {
  return flags.includes("0") && !flags.includes("-") && !"srac".includes(kind) ? "0" : " ";
}

function percent(kind: string | undefined, value: Value, precision: number | undefined, flags: string): string {
  if (kind === "s" || kind === "r" || kind === "a") {
    const text = kind === "s" ? str(value) : repr(value);
    return precision === undefined ? text : codePoints(text).slice(0, precision).join("");
  }
  if (kind === "c") return typeof value === "string" ? value : String.fromCodePoint(integer(value));
  if (kind === undefined) fail("incomplete format", "ValueError");
  if (!isNumeric(value)) {
    const wanted = "diuoxX".includes(kind) ? "a number is required" : "must be real number";
    fail(`%${kind} format: ${wanted}, not ${typeName(value)}`, "TypeError");
  }
  return signed(number(kind, numeric(value), precision), flags.includes("+") ? "+" : flags.includes(" ") ? " " : "");
}

function signed(text: string, plus: string): string {
  return text.startsWith("-") ? text : plus + text;
}

const BASES: Record<string, number> = { b: 2, o: 8, x: 16, X: 16 };

/** Return a number as a format character states. */
function number(kind: string, value: bigint | number, precision: number | undefined): string {
  if ("diu".includes(kind)) return (typeof value === "number" ? BigInt(Math.trunc(value)) : value).toString();
  const base = BASES[kind];
  if (base !== undefined) {
    const text = (typeof value === "number" ? BigInt(value) : value).toString(base);
    return kind === "X" ? text.toUpperCase() : text;
  }
  const float = Number(value);
  if (!Number.isFinite(float)) return floatText(float);
  switch (kind) {
    case "f":
    case "F":
      return fixed(float, precision ?? 6);
    case "%":
      return `${fixed(float * 100, precision ?? 6)}%`;
    case "e":
    case "E":
      return exponential(float, precision ?? 6, kind);
    case "g":
    case "G":
      return general(float, precision ?? 6, kind);
  }
  return fail(`unsupported format character '${kind}'`, "ValueError");
}

function exponential(value: number, digits: number, letter: string): string {
  const [mantissa, power = "0"] = value.toExponential(digits).split("e");
  return `${mantissa}${letter}${power.startsWith("-") ? "-" : "+"}${power.replace(/^[-+]/, "").padStart(2, "0")}`;
}

function general(value: number, precision: number, letter: string): string {
  const digits = Math.max(precision, 1);
  const power = value === 0 ? 0 : Number(value.toExponential(digits - 1).split("e")[1]);
  if (power < -4 || power >= digits) {
    const [mantissa = "", rest] = exponential(value, digits - 1, letter === "g" ? "e" : "E").split(/(?=[eE])/);
    return trimmed(mantissa) + rest;
  }
  return trimmed(fixed(value, digits - 1 - power));
}

function trimmed(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Return a number with `digits` digits after the point, from its exact value, ties to even. */
export function fixed(value: number, digits: number): string {
  if (Math.abs(value) >= 1e21) return BigInt(value).toString() + (digits > 0 ? `.${"0".repeat(digits)}` : "");
  const text = value.toFixed(Math.min(digits, 100));
  // toFixed rounds ties away from zero. Where there is a tie, the exact value has at most a hundred digits.
  const exact = Math.abs(value).toFixed(100);
  const cut = exact.indexOf(".") + (digits === 0 ? 0 : digits + 1);
  const tie = /^\.?50*$/.test(exact.slice(cut));
  const sign = Object.is(value, -0) && !text.startsWith("-") ? "-" : "";
  if (!tie) return sign + text;
  const kept = exact.slice(0, cut);
  return Number(kept.at(-1)) % 2 === 0 ? (value < 0 ? "-" : "") + kept : text;
}

function aligned(text: string, width: number, alignment: string, fill: string): string {
  checkLength(width);
  const missing = width - lengthOf(text);
  if (missing <= 0) return text;
  if (alignment === "^") {
    const left = Math.floor(missing / 2);
    return fill.repeat(left) + text + fill.repeat(missing - left);
  }
  if (alignment === "<") return text + fill.repeat(missing);
  const sign = fill === "0" || alignment === "=" ? (/^[-+ ]/.exec(text)?.[0] ?? "") : "";
  return sign + fill.repeat(missing) + text.slice(sign.length);
}

const SPEC = /^(?:([\s\S])?([<>^=]))?([-+ ]?)#?(0?)(\d*)([,_]?)(?:\.(\d+))?([a-zA-Z%]?)$/u;

/** format(value, spec) */
function formatted(value: Value, spec: string): string {
  if (spec === "") return str(value);
  const found = SPEC.exec(spec);
  if (!found) return fail("Invalid format specifier", "ValueError");
  const [, fill, align, sign = "", zeros, width = "", group, digits, kind = ""] = found;
  const precision = digits === undefined ? undefined : Number(digits);
  if (!isNumeric(value) || (typeof value === "boolean" && kind === "")) {
    const text = str(value);
    const cut = precision === undefined ? text : codePoints(text).slice(0, precision).join("");
    return aligned(cut, Number(width), align ?? "<", fill ?? " ");
  }
  const real = numeric(value);
  const natural = typeof real === "bigint" ? "d" : precision === undefined ? "" : "g";
  let text = kind === "" && natural === "" ? floatText(real as number) : number(kind || natural, real, precision);
  if (group) text = text.replace(/^(-?)(\d+)/, (_, s, d) => s + grouped(d, group));
  return aligned(signed(text, sign === "-" ? "" : sign), Number(width), align ?? ">", fill ?? (zeros ? "0" : " "));
}

function grouped(digits: string, mark: string): string {
  return digits.replace(/\d(?=(?:\d{3})+$)/g, `$&${mark}`);
}

const FIELD = /\{\{|\}\}|\{([^{}!:]*)(?:!([rsa]))?(?::((?:[^{}]|\{[^{}]*\})*))?\}|[{}]/g;

/** text.format(*args, **named) */
export function formatBraces(text: string, args: readonly Value[], named: Named): string {
  let next = 0;
  const field = (path: string): Value => {
    const [, name = "", rest = ""] = /^([^.[]*)(.*)$/s.exec(path) ?? [];
    const index = name === "" ? next++ : Number(name);
    let value = /^\d*$/.test(name) ? args[index] : named.get(name);
    if (value === undefined) return fail(`Replacement field '${path}' has no value`, "IndexError");
    for (const [, member, key] of rest.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
      value =
        member !== undefined
          ? attribute(value, member)
          : item(value, /^\d+$/.test(key ?? "") ? BigInt(key ?? 0) : (key ?? ""));
    }
    return value;
  };
  const write = (whole: string, path?: string, conversion?: string, spec = ""): string => {
    if (whole === "{{" || whole === "}}") return whole.charAt(0);
    if (path === undefined) return fail(`Single '${whole}' encountered in format string`, "ValueError");
    const value = field(path);
    return formatted(
      conversion === undefined || conversion === "s" ? (conversion ? str(value) : value) : repr(value),
      spec.replace(FIELD, write),
    );
  };
  return text.replace(FIELD, write);
}
