/** Filters, which follow `|`. */

import { attribute, item } from "./access.ts";
import { fail } from "./errors.ts";
import { fixed, formatPercent } from "./format.ts";
import { argument, center, join, replace } from "./methods.ts";
import { arithmetic } from "./operators.ts";
import { json, str } from "./print.ts";
import { checkItems, checkLength, spaces } from "./size.ts";
import { findTest, TESTS } from "./tests.ts";
import * as texts from "./text.ts";
import {
  compare,
  Dict,
  equal,
  Generator,
  integer,
  isNumeric,
  isTrue,
  iterate,
  type Named,
  numeric,
  Thing,
  tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

export type Filter = (value: Value, args: Value[], named: Named) => Value;

/** Returns a parameter of a filter, or its default where it is absent. */
type Parameters = (index: number, name: string, otherwise?: Value) => Value;

/** Return a filter with parameters: `given(index, name, default)`. */
function taking(filter: (value: Value, given: Parameters) => Value): Filter {
  return (value, args, named) =>
    filter(value, (index, name, otherwise = null) => {
      const found = argument(args, named, index, name);
      return found === undefined ? otherwise : found;
    });
}

/** Return a function that reads the value at a path such as job.title. otherwise: used for an absent member. */
function getter(path: Value, otherwise?: Value): (value: Value) => Value {
  if (path === null) return (value) => value;
  const keys: Value[] =
    typeof path === "string" ? path.split(".").map((key) => (/^\d+$/.test(key) ? BigInt(key) : key)) : [path];
  const step = (inner: Value, key: Value) => {
    const found = item(inner, key);
    return found instanceof Undefined && otherwise !== undefined && otherwise !== null ? otherwise : found;
  };
  return (value) => keys.reduce(step, value);
}

function folded(value: Value, sensitive: Value): Value {
  return typeof value === "string" && !isTrue(sensitive) ? value.toLowerCase() : value;
}

function sorted<Item>(items: readonly Item[], key: (item: Item) => Value, reverse: Value): Item[] {
  const keyed = items.map((one) => [key(one), one] as const);
  const sign = isTrue(reverse) ? -1 : 1;
  // Both directions keep the order of equal items.
  return keyed.sort(([left], [right]) => sign * compare(left, right)).map(([, one]) => one);
}

/** Return the test of select, reject and their variants, applied to a value or to its attribute. */
function selector(args: Value[], named: Named, byAttribute: boolean): (value: Value) => boolean {
  const get = byAttribute
    ? getter(args[0] ?? fail("Missing parameter for attribute name", "FilterArgumentError"))
    : getter(null);
  const [name, ...rest] = byAttribute ? args.slice(1) : args;
  if (name === undefined) return (value) => isTrue(get(value));
  const test = findTest(str(name));
  return (value) => test(get(value), [...rest, ...named.values()]);
}

/** Return the items that map and select process. A false value has none, whether it is a list or not. */
function itemsOf(value: Value): Value[] {
  return isTrue(value) ? iterate(value) : [];
}

const selecting =
  (byAttribute: boolean, wanted: boolean): Filter =>
  (value, args, named) => {
    const fits = selector(args, named, byAttribute);
    return new Generator(itemsOf(value).filter((one) => fits(one) === wanted));
  };

const map: Filter = (value, args, named) => {
  const path = named.get("attribute");
  if (args.length === 0 && path !== undefined) {
    const found = itemsOf(value).map(getter(path, named.get("default")));
    return new Generator(found);
  }
  const filter = findFilter(str(args[0] ?? fail("map requires a filter argument", "FilterArgumentError")));
  return new Generator(itemsOf(value).map((one) => filter(one, args.slice(1), named)));
};

const extreme = (sign: number): Filter =>
  taking((value, given) => {
    const get = getter(given(1, "attribute"));
    const key = (one: Value) => folded(get(one), given(0, "case_sensitive", false));
    const items = iterate(value);
    if (items.length === 0) return new Undefined("No aggregated item, sequence was empty.");
    return items.reduce((best, one) => (sign * compare(key(one), key(best)) > 0 ? one : best));
  });

function unique(value: Value, given: Parameters): Value {
  const get = getter(given(1, "attribute"));
  const seen = new Dict();
  const kept = iterate(value).filter((one) => {
    const key = folded(get(one), given(0, "case_sensitive", false));
    if (seen.has(key)) return false;
    seen.set(key, true);
    return true;
  });
  return new Generator(kept);
}

function groupBy(value: Value, given: Parameters): Value {
  const get = getter(given(0, "attribute"));
  const key = (one: Value) => {
    const found = get(one);
    return found instanceof Undefined ? given(1, "default", found) : found;
  };
  const fold = (one: Value) => folded(key(one), given(2, "case_sensitive", false));
  const groups: { fold: Value; grouper: Value; list: Value[] }[] = [];
  for (const one of sorted(iterate(value), fold, false)) {
    const last = groups.at(-1);
    if (last && equal(last.fold, fold(one))) last.list.push(one);
    else groups.push({ fold: fold(one), grouper: key(one), list: [one] });
  }
  return groups.map(({ grouper, list }) => tuple([grouper, list]));
}

function dictSort(value: Value, given: Parameters): Value {
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Dict)) return fail(`'${typeName(value)}' object has no attribute 'items'`, "AttributeError");
  const by = given(1, "by", "key");
  if (by !== "key" && by !== "value") fail('You can only sort by either "key" or "value"', "FilterArgumentError");
  const key = (entry: [Value, Value]) => folded(entry[by === "key" ? 0 : 1], given(0, "case_sensitive", false));
  return sorted(value.entries(), key, given(2, "reverse", false)).map((entry) => tuple(entry));
}

function lengthOf(value: Value): Value {
  if (typeof value === "string") return BigInt(texts.lengthOf(value));
  if (Array.isArray(value)) return BigInt(value.length);
  if (value instanceof Dict) return BigInt(value.size);
  if (value instanceof View) return BigInt(value.items.length);
  if (value instanceof Undefined) return 0n;
  return fail(`object of type '${typeName(value)}' has no len()`, "TypeError");
}

function reversed(value: Value): Value {
  if (typeof value === "string") return texts.codePoints(value).reverse().join("");
  return new Generator([...iterate(value)].reverse());
}

function round(value: Value, given: Parameters): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumeric(value)) return fail(`type ${typeName(value)} doesn't define __round__ method`, "TypeError");
  const digits = integer(given(0, "precision", 0n));
  const method = given(1, "method", "common");
  const real = numeric(value);
  if (method === "common") {
    if (typeof real === "bigint" && digits >= 0) return real;
    if (!Number.isFinite(Number(real))) return real;
    if (digits >= 0) return Number(fixed(Number(real), digits));
    const scale = 10 ** -digits;
    const scaled = Number(fixed(Number(real) / scale, 0)) * scale;
    return typeof real === "bigint" ? BigInt(scaled) : scaled;
  }
  const step =
    method === "ceil"
      ? Math.ceil
      : method === "floor"
        ? Math.floor
        : fail("method must be common, ceil or floor", "FilterArgumentError");
  return step(Number(real) * 10 ** digits) / 10 ** digits;
}

const DIGITS: Record<number, RegExp> = { 2: /^[01]+$/, 8: /^[0-7]+$/, 10: /^\d+$/, 16: /^[\da-f]+$/i };
const PREFIXES: Record<number, string> = { 2: "0b", 8: "0o", 10: "", 16: "0x" };

/** int(text, base); undefined for text that is not such a number */
function parsedInt(text: string, base: number): bigint | undefined {
  const [, sign = "", digits = ""] = /^([-+]?)(.*)$/s.exec(texts.strip(text)) ?? [];
  const prefix = PREFIXES[base];
  if (prefix === undefined) return undefined;
  const bare = (prefix && digits.toLowerCase().startsWith(prefix) ? digits.slice(2) : digits).replace(
    /(?<=[\da-f])_(?=[\da-f])/gi,
    "",
  );
  if (!DIGITS[base]?.test(bare)) return undefined;
  return BigInt(prefix + bare) * (sign === "-" ? -1n : 1n);
}

/** float(text); undefined for text that is not a number */
function parsedFloat(text: string): number | undefined {
  const bare = texts.strip(text).replace(/(?<=\d)_(?=\d)/g, "");
  const named = /^([-+]?)(inf|infinity|nan)$/i.exec(bare);
  if (named) return (/nan/i.test(bare) ? Number.NaN : Number.POSITIVE_INFINITY) * (named[1] === "-" ? -1 : 1);
  return /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(bare) ? Number(bare) : undefined;
}

function toInt(value: Value, given: Parameters): Value {
  const otherwise = given(0, "default", 0n);
  if (value instanceof Undefined) value.fail();
  if (typeof value === "string") {
    const float = parsedFloat(value);
    return (
      parsedInt(value, integer(given(1, "base", 10n))) ??
      (float !== undefined && Number.isFinite(float) ? BigInt(Math.trunc(float)) : otherwise)
    );
  }
  if (!isNumeric(value)) return otherwise;
  const real = numeric(value);
  return typeof real === "bigint" ? real : Number.isFinite(real) ? BigInt(Math.trunc(real)) : otherwise;
}

function toFloat(value: Value, given: Parameters): Value {
  if (value instanceof Undefined) value.fail();
  const otherwise = given(0, "default", 0);
  if (typeof value === "string") return parsedFloat(value) ?? otherwise;
  return isNumeric(value) ? Number(numeric(value)) : otherwise;
}

/** Return the string of a filter that takes only strings. */
function text(value: Value): string {
  if (value instanceof Undefined) value.fail();
  return typeof value === "string" ? value : fail(`expected a string, not ${typeName(value)}`, "TypeError");
}

function indent(value: Value, given: Parameters): Value {
  const width = given(0, "width", 4n);
  const margin = typeof width === "string" ? width : spaces(integer(width));
  const [first = "", ...rest] = texts.splitLines(`${text(value)}\n`, false);
  checkLength(text(value).length + rest.length * margin.length);
  const lines = rest.map((line) => (line !== "" || isTrue(given(2, "blank", false)) ? margin + line : line));
  return (isTrue(given(1, "first", false)) ? margin : "") + [first, ...lines].join("\n");
}

function truncate(value: Value, given: Parameters): Value {
  const [length, end] = [integer(given(0, "length", 255n)), str(given(2, "end", "..."))];
  const leeway = given(3, "leeway");
  if (Number(lengthOf(value)) <= length + (leeway === null ? 5 : integer(leeway))) return value;
  const points = texts.codePoints(text(value));
  const kept = points.slice(0, length - texts.lengthOf(end)).join("");
  if (isTrue(given(1, "killwords", false))) return kept + end;
  const at = kept.lastIndexOf(" ");
  return (at < 0 ? kept : kept.slice(0, at)) + end;
}

function batched(value: Value, size: number, fill: Value): Value {
  const items = iterate(value);
  if (items.length > 0 && size < 1) return new Generator(size === 0 ? [[], [...items]] : [[...items]]);
  const rows: Value[] = [];
  if (fill !== null) checkItems(items.length + size);
  for (let i = 0; i < items.length; i += size) {
    const row = items.slice(i, i + size);
    while (fill !== null && row.length < size) row.push(fill);
    rows.push([...row]);
  }
  return new Generator(rows);
}

function sliced(value: Value, count: number, fill: Value): Value {
  const items = [...iterate(value)];
  if (count === 0) fail("integer division or modulo by zero", "ZeroDivisionError");
  checkItems(count);
  const [per, extra] = [Math.floor(items.length / count), items.length % count];
  const columns = Array.from({ length: count }, (_, i) => {
    const column: Value[] = items.splice(0, per + (i < extra ? 1 : 0));
    return fill !== null && i >= extra ? [...column, fill] : column;
  });
  return new Generator(columns);
}

const ENTITIES: Record<string, string> = { "&": "&amp;", ">": "&gt;", "<": "&lt;", "'": "&#39;", '"': "&#34;" };

function escaped(value: Value): Value {
  return str(value).replace(/[&<>'"]/g, (character) => ENTITIES[character] as string);
}

function percentEncoded(text: string, safe: string): string {
  return encodeURIComponent(text).replace(/[!'()*]|%2F/g, (c) => {
    if (c === "%2F") return safe.includes("/") ? "/" : c;
    return `%${c.charCodeAt(0).toString(16).toUpperCase()}`;
  });
}

function urlEncoded(value: Value): Value {
  if (typeof value === "string" || (!(value instanceof Dict) && !Array.isArray(value)))
    return percentEncoded(str(value), "/");
  const pairs = value instanceof Dict ? value.entries() : value.map(iterate);
  const plus = (one: Value | undefined) => percentEncoded(str(one ?? null), "").replaceAll("%20", "+");
  return pairs.map(([key, one]) => `${plus(key)}=${plus(one)}`).join("&");
}

function toJson(value: Value, given: Parameters): Value {
  const indentation = given(1, "indent");
  const separators = given(2, "separators");
  const [between, after] =
    separators === null ? [indentation === null ? ", " : ",", ": "] : iterate(separators).map(str);
  return json(value, {
    ascii: isTrue(given(0, "ensure_ascii", false)),
    indent:
      indentation === null ? undefined : typeof indentation === "string" ? indentation : spaces(integer(indentation)),
    separators: [between ?? ", ", after ?? ": "],
    sorted: isTrue(given(3, "sort_keys", false)),
  });
}

const GAPS = new RegExp(`((?:[-({[<]|${texts.SPACE_CLASS})+)`);

/** Return text with a capital after white space, a hyphen or an opening bracket. */
function capitals(text: string): string {
  const words = text.split(GAPS).map(texts.codePoints);
  return words.map(([first = "", ...rest]) => first.toUpperCase() + rest.join("").toLowerCase()).join("");
}

const fallback = taking((value, given) => {
  const otherwise = given(0, "default_value", "");
  return value instanceof Undefined || (isTrue(given(1, "boolean", false)) && !isTrue(value)) ? otherwise : value;
});

const FILTERS: Record<string, Filter> = {
  abs(value) {
    if (value instanceof Undefined) value.fail();
    if (!isNumeric(value)) return fail(`bad operand type for abs(): '${typeName(value)}'`, "TypeError");
    const number = numeric(value);
    return typeof number === "number" ? Math.abs(number) : number < 0n ? -number : number;
  },
  attr: taking((value, given) =>
    value instanceof Dict || !(value instanceof Thing)
      ? member(value, str(given(0, "name")))
      : attribute(value, str(given(0, "name"))),
  ),
  batch: taking((value, given) => batched(value, integer(given(0, "linecount")), given(1, "fill_with"))),
  capitalize: (value) => texts.capitalize(str(value)),
  center: taking((value, given) => center(str(value), [given(0, "width", 80n)])),
  count: lengthOf,
  d: fallback,
  default: fallback,
  dictsort: taking(dictSort),
  e: escaped,
  escape: escaped,
  first(value) {
    const found = value instanceof Generator ? value.next() : iterate(value)[0];
    return found === undefined ? new Undefined("No first item, sequence was empty.") : found;
  },
  float: taking(toFloat),
  forceescape: escaped,
  format: (value, args, named) => formatPercent(str(value), named.size > 0 ? new Dict(named) : tuple(args)),
  groupby: taking(groupBy),
  indent: taking(indent),
  int: taking(toInt),
  items(value) {
    if (value instanceof Undefined) return new Generator([]);
    if (!(value instanceof Dict)) fail("Can only get item pairs from a mapping.", "TypeError");
    return new Generator(value.entries().map(([key, one]) => tuple([key, one])));
  },
  join: taking((value, given) => {
    const get = getter(given(1, "attribute"));
    return join(
      str(given(0, "d", "")),
      iterate(value).map((one) => str(get(one))),
    );
  }),
  last(value) {
    if (value instanceof Generator) fail("'generator' object is not reversible", "TypeError");
    const found = iterate(value).at(-1);
    return found === undefined ? new Undefined("No last item, sequence was empty.") : found;
  },
  length: lengthOf,
  list: (value) => [...iterate(value)],
  lower: (value) => str(value).toLowerCase(),
  map,
  max: extreme(1),
  min: extreme(-1),
  reject: selecting(false, false),
  rejectattr: selecting(true, false),
  replace: taking((value, given) => {
    const most = given(2, "count");
    return replace(str(value), str(given(0, "old")), str(given(1, "new")), most === null ? -1 : integer(most));
  }),
  reverse: reversed,
  round: taking(round),
  safe: (value) => str(value),
  select: selecting(false, true),
  selectattr: selecting(true, true),
  slice: taking((value, given) => sliced(value, integer(given(0, "slices")), given(1, "fill_with"))),
  sort: taking((value, given) => {
    const get = getters(given(2, "attribute"));
    const key = (one: Value) => get(one).map((each) => folded(each, given(1, "case_sensitive", false)));
    return sorted(iterate(value), key, given(0, "reverse", false));
  }),
  string: (value) => str(value),
  striptags: (value) =>
    texts
      .split(
        str(value)
          .replace(/<!--[\s\S]*?-->/g, "")
          .replace(/<[^>]*>/g, ""),
        undefined,
        -1,
      )
      .join(" "),
  sum: taking((value, given) =>
    iterate(value)
      .map(getter(given(0, "attribute")))
      .reduce((sum, one) => arithmetic("+", sum, one), given(1, "start", 0n)),
  ),
  title: (value) => capitals(str(value)),
  tojson: taking(toJson),
  trim: taking((value, given) =>
    texts.strip(str(value), given(0, "chars") === null ? undefined : str(given(0, "chars"))),
  ),
  truncate: taking(truncate),
  unique: taking(unique),
  upper: (value) => str(value).toUpperCase(),
  urlencode: urlEncoded,
  wordcount: (value) => BigInt(str(value).match(/[\p{L}\p{Nd}\p{Nl}\p{No}_]+/gu)?.length ?? 0),
};

/** Return an attribute as jinja's `attr` does: no entries of dictionaries. */
function member(value: Value, name: string): Value {
  const found = attribute(value instanceof Dict ? new Dict() : value, name);
  return found;
}

/** Return a function that reads several attributes, "role,name": a list with one value for each. */
function getters(paths: Value): (value: Value) => Value[] {
  const all = typeof paths === "string" ? paths.split(",").map((path) => getter(path)) : [getter(paths)];
  return (value) => all.map((get) => get(value));
}

TESTS.filter = (name) => typeof name === "string" && Object.hasOwn(FILTERS, name);
TESTS.test = (name) => typeof name === "string" && Object.hasOwn(TESTS, name);

export function findFilter(name: string): Filter {
  const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
  return filter ?? fail(`No filter named '${name}'.`, "TemplateAssertionError");
}
