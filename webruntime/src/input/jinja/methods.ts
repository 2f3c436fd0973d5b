/** Methods of strings, lists and dictionaries, except those that change a value. */

import { fail } from "./errors.ts";
import { formatBraces } from "./format.ts";
import { checkLength } from "./size.ts";
import * as texts from "./text.ts";
import { Dict, equal, integer, iterate, type Named, Tuple, tuple, typeName, type Value, View } from "./values.ts";

type Method<Self> = (self: Self, args: Value[], named: Named) => Value;

/** Return a parameter by its position or name. */
export function argument(args: readonly Value[], named: Named, index: number, name: string): Value | undefined {
  const found = args[index];
  return found === undefined ? named.get(name) : found;
}

function text(value: Value | undefined): string {
  if (typeof value === "string") return value;
  return fail(`expected a string, not ${value === undefined ? "nothing" : typeName(value)}`, "TypeError");
}

/** Return a string, or undefined for None, which means the default. */
function optional(value: Value | undefined): string | undefined {
  return value === undefined || value === null ? undefined : text(value);
}

function count(value: Value | undefined, otherwise = -1): number {
  return value === undefined ? otherwise : integer(value);
}

/** Return the code points within bounds like those of str.find, and the first one's index. */
function bounded(self: string, [, start = null, stop = null]: readonly Value[]): [string[], number] {
  const points = texts.codePoints(self);
  const place = (value: Value, otherwise: number) => {
    const index = value === null ? otherwise : integer(value);
    return Math.max(index < 0 ? index + points.length : index, 0);
  };
  const from = place(start, 0);
  return [points.slice(from, place(stop, points.length)), from];
}

function find(self: string, args: Value[], last: boolean): bigint {
  const [points, from] = bounded(self, args);
  const inside = points.join("");
  const wanted = text(args[0]);
  const at = last ? inside.lastIndexOf(wanted) : inside.indexOf(wanted);
  if (at < 0 || from > texts.lengthOf(self)) return -1n;
  return BigInt(from + texts.lengthOf(inside.slice(0, at)));
}

function index(self: string, args: Value[], last: boolean): bigint {
  const at = find(self, args, last);
  return at < 0n ? fail("substring not found", "ValueError") : at;
}

function touches(self: string, args: Value[], test: (inside: string, affix: string) => boolean): boolean {
  const inside = bounded(self, args)[0].join("");
  const affixes = args[0] instanceof Tuple ? [...args[0]] : [args[0]];
  return affixes.some((affix) => test(inside, text(affix)));
}

/** Return a padded string. left: returns how many of the missing characters go to the left. */
function padded(self: string, args: Value[], left: (missing: number, width: number) => number): string {
  const width = integer(args[0] ?? null);
  const fill = args[1] === undefined ? " " : text(args[1]);
  checkLength(width);
  const missing = Math.max(width - texts.lengthOf(self), 0);
  const before = left(missing, width);
  return fill.repeat(before) + self + fill.repeat(missing - before);
}

/** str.center, which puts the odd character to the left only where the width is odd. */
export function center(self: string, args: Value[]): string {
  return padded(self, args, (missing, width) => Math.floor(missing / 2) + (missing & width & 1));
}

function partition(self: string, separator: string, last: boolean): Tuple {
  if (separator === "") fail("empty separator", "ValueError");
  const at = last ? self.lastIndexOf(separator) : self.indexOf(separator);
  if (at < 0) return last ? tuple(["", "", self]) : tuple([self, "", ""]);
  return tuple([self.slice(0, at), separator, self.slice(at + separator.length)]);
}

/** str.replace */
export function replace(self: string, from: string, to: string, most = -1): string {
  if (from !== "") {
    const parts = texts.split(self, from, most);
    checkLength(self.length + (parts.length - 1) * to.length);
    return parts.join(to);
  }
  const points = texts.codePoints(self);
  const times = most < 0 ? points.length + 1 : most;
  checkLength(self.length + Math.min(times, points.length + 1) * to.length);
  return [...points.map((c, i) => (i < times ? to + c : c)), points.length < times ? to : ""].join("");
}

function separator(value: Value | undefined): string | undefined {
  const found = optional(value);
  return found === "" ? fail("empty separator", "ValueError") : found;
}

/** Return a method that is true where all characters match, and there is at least one. */
function every(pattern: RegExp): Method<string> {
  return (self) => pattern.test(self);
}

/** sep.join(parts) */
export function join(self: string, parts: readonly Value[]): string {
  let length = 0;
  const strings = parts.map((part, i) => {
    if (typeof part !== "string") {
      return fail(`sequence item ${i}: expected str instance, ${typeName(part)} found`, "TypeError");
    }
    length += part.length + self.length;
    return part;
  });
  checkLength(length);
  return strings.join(self);
}

const STRING: Record<string, Method<string>> = {
  capitalize: (self) => texts.capitalize(self),
  casefold: (self) => self.toUpperCase().toLowerCase(),
  center,
  count(self, args) {
    const [points] = bounded(self, args);
    const wanted = text(args[0]);
    return BigInt(wanted === "" ? points.length + 1 : points.join("").split(wanted).length - 1);
  },
  endswith: (self, args) => touches(self, args, (inside, affix) => inside.endsWith(affix)),
  expandtabs(self, args, named) {
    const size = count(argument(args, named, 0, "tabsize"), 8);
    checkLength(self.length + size);
    let column = 0;
    const written = texts.codePoints(self).map((c) => {
      const made = c === "\t" ? " ".repeat(size > 0 ? size - (column % size) : 0) : c;
      column = c === "\n" || c === "\r" ? 0 : column + made.length;
      return made;
    });
    return written.join("");
  },
  find: (self, args) => find(self, args, false),
  format: formatBraces,
  index: (self, args) => index(self, args, false),
  isalnum: every(/^[\p{L}\p{Nd}\p{Nl}\p{No}]+$/u),
  isalpha: every(/^\p{L}+$/u),
  isascii: (self) => texts.isAscii(self),
  isdecimal: every(/^\p{Nd}+$/u),
  isdigit: every(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒]+$/u),
  isidentifier: every(/^[\p{XIDS}_]\p{XIDC}*$/u),
  islower: (self) => texts.isLower(self),
  isnumeric: every(/^[\p{Nd}\p{Nl}\p{No}]+$/u),
  isprintable: every(/^(?: |[^\p{C}\p{Z}])*$/u),
  isspace: every(new RegExp(`^${texts.SPACE_CLASS}+$`)),
  istitle: (self) => /[\p{Lu}\p{Lt}\p{Ll}]/u.test(self) && texts.title(self) === self,
  isupper: (self) => texts.isUpper(self),
  join: (self, args) => join(self, iterate(args[0] ?? null)),
  ljust: (self, args) => padded(self, args, () => 0),
  lower: (self) => self.toLowerCase(),
  lstrip: (self, args) => texts.lstrip(self, optional(args[0])),
  partition: (self, args) => partition(self, text(args[0]), false),
  removeprefix: (self, args) => (self.startsWith(text(args[0])) ? self.slice(text(args[0]).length) : self),
  removesuffix: (self, args) =>
    self.endsWith(text(args[0])) ? self.slice(0, self.length - text(args[0]).length) : self,
  replace: (self, args, named) => replace(self, text(args[0]), text(args[1]), count(argument(args, named, 2, "count"))),
  rfind: (self, args) => find(self, args, true),
  rindex: (self, args) => index(self, args, true),
  rjust: (self, args) => padded(self, args, (missing) => missing),
  rpartition: (self, args) => partition(self, text(args[0]), true),
  rsplit(self, args, named) {
    return texts.rsplit(self, separator(argument(args, named, 0, "sep")), count(argument(args, named, 1, "maxsplit")));
  },
  rstrip: (self, args) => texts.rstrip(self, optional(args[0])),
  split(self, args, named) {
    return texts.split(self, separator(argument(args, named, 0, "sep")), count(argument(args, named, 1, "maxsplit")));
  },
  splitlines: (self, args, named) => texts.splitLines(self, argument(args, named, 0, "keepends") === true),
  startswith: (self, args) => touches(self, args, (inside, affix) => inside.startsWith(affix)),
  strip: (self, args) => texts.strip(self, optional(args[0])),
  swapcase: (self) =>
    texts
      .codePoints(self)
      .map((c) => (texts.isUpper(c) ? c.toLowerCase() : c.toUpperCase()))
      .join(""),
  title: (self) => texts.title(self),
  upper: (self) => self.toUpperCase(),
  zfill(self, args) {
    const sign = /^[-+]/.exec(self)?.[0] ?? "";
    return (
      sign +
      padded(self.slice(sign.length), [BigInt(integer(args[0] ?? null) - sign.length), "0"], (missing) => missing)
    );
  },
};

const SEQUENCE: Record<string, Method<Value[]>> = {
  count: (self, [wanted = null]) => BigInt(self.filter((one) => equal(one, wanted)).length),
  index(self, [wanted = null]) {
    const at = self.findIndex((one) => equal(one, wanted));
    return at < 0 ? fail("the value is not in the list", "ValueError") : BigInt(at);
  },
};

const DICT: Record<string, Method<Dict>> = {
  copy: (self) => new Dict(self.entries()),
  get: (self, [key = null, otherwise = null]) => (self.has(key) ? (self.get(key) as Value) : otherwise),
  items: (self) =>
    new View(
      "dict_items",
      self.entries().map(([key, value]) => tuple([key, value])),
    ),
  keys: (self) => new View("dict_keys", self.keys()),
  values: (self) =>
    new View(
      "dict_values",
      self.entries().map(([, value]) => value),
    ),
};

const NUMBER: Record<string, Method<Value>> = {
  is_integer: (self) => Number.isInteger(Number(self)),
};

// biome-ignore lint/suspicious/noExplicitAny: each table is asked with values of its own type
export const METHODS: Record<string, Record<string, Method<any>>> = {
  str: STRING,
  list: { ...SEQUENCE, copy: (self: Value[]) => [...self] },
  tuple: SEQUENCE,
  range: SEQUENCE,
  dict: DICT,
  float: NUMBER,
};
