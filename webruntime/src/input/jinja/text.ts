/** Handles strings as Python does: sequences of code points, and Python's white space. */

/**
 * The characters for which str.isspace is true. JavaScript's own set lacks U+001C–1F and U+0085, and includes U+FEFF.
 */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
/** A pattern for one white space character. */
export const SPACE_CLASS = `[${SPACE}]`;

const LEADING = new RegExp(`^${SPACE_CLASS}+`);
const IS_SPACE = new RegExp(`^${SPACE_CLASS}$`);
const ASCII = /^\p{ASCII}*$/u;

/** Return text with lone surrogates replaced by U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

export function isSpace(character: string): boolean {
  return IS_SPACE.test(character);
}

/** str.lstrip; characters: a set to strip instead of white space */
export function lstrip(text: string, characters?: string): string {
  if (characters === undefined) return text.replace(LEADING, "");
  const points = codePoints(text);
  const set = new Set(codePoints(characters));
  let from = 0;
  while (from < points.length && set.has(points[from] as string)) from++;
  return points.slice(from).join("");
}

/** str.rstrip, in linear time. */
export function rstrip(text: string, characters?: string): string {
  if (characters !== undefined) {
    const points = codePoints(text);
    const set = new Set(codePoints(characters));
    let to = points.length;
    while (to > 0 && set.has(points[to - 1] as string)) to--;
    return points.slice(0, to).join("");
  }
  let end = text.length;
  // All white space is in the basic plane.
  while (end > 0 && isSpace(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

export function strip(text: string, characters?: string): string {
  return rstrip(lstrip(text, characters), characters);
}

export function isAscii(text: string): boolean {
  return ASCII.test(text);
}

export function codePoints(text: string): string[] {
  return Array.from(text);
}

/** len(text). */
export function lengthOf(text: string): number {
  return isAscii(text) ? text.length : codePoints(text).length;
}

/** Compare texts by code points: negative, zero or positive. In UTF-16 order, U+FFFD would follow U+1F600. */
export function compareText(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i++) {
    const [a, b] = [left.charCodeAt(i), right.charCodeAt(i)];
    if (a !== b) return weight(a) - weight(b);
  }
  return left.length - right.length;
}

/** Return a unit's rank, which puts surrogates after all other units. */
function weight(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

const TITLES = new Map([..."ǆǅǉǈǌǋǳǲ"].flatMap((c, i, all) => (i % 2 ? [] : [[c, all[i + 1] as string] as const])));

/** Return a character's title case. Where title case is more than one capital, it is Unicode's own. */
function titled(character: string): string {
  const lower = character.toLowerCase();
  const known = TITLES.get(lower);
  if (known !== undefined) return known;
  const upper = codePoints(character.toUpperCase());
  // Georgian letters have capitals, but no title case.
  if (upper.length === 1 && /[\u1c90-\u1cbf]/.test(upper[0] as string)) return character;
  return (upper[0] ?? "") + upper.slice(1).join("").toLowerCase();
}

/** str.capitalize */
export function capitalize(text: string): string {
  const [first = "", ...rest] = codePoints(text);
  return titled(first) + rest.join("").toLowerCase();
}

/** str.title: each letter that does not follow a letter is a capital */
export function title(text: string): string {
  let inside = false;
  let made = "";
  for (const character of codePoints(text)) {
    made += inside ? character.toLowerCase() : titled(character);
    inside = CASED.test(character);
  }
  return made;
}

const CASED = /[\p{Uppercase}\p{Lowercase}\p{Lt}]/u;

export function isLower(text: string): boolean {
  return /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text);
}

export function isUpper(text: string): boolean {
  return /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text);
}

const LINE_ENDS = "\\n\\v\\f\\r\\x1c-\\x1e\\x85\\u2028\\u2029";
const LINES = new RegExp(`[^${LINE_ENDS}]*(?:\\r\\n|[${LINE_ENDS}]|$)`, "g");
const LINE_END = new RegExp(`(?:\\r\\n|[${LINE_ENDS}])$`);

/** str.splitlines */
export function splitLines(text: string, keep: boolean): string[] {
  const lines = text.match(LINES) ?? [];
  if (lines.at(-1) === "") lines.pop();
  return keep ? lines : lines.map((line) => line.replace(LINE_END, ""));
}

/** str.split: at white space, or at `separator`; most: the maximum number of splits, from the left */
export function split(text: string, separator: string | undefined, most: number): string[] {
  const parts: string[] = [];
  let rest = separator === undefined ? lstrip(text) : text;
  const gap = new RegExp(`${SPACE_CLASS}+`);
  while (most < 0 || parts.length < most) {
    const found = separator === undefined ? gap.exec(rest) : undefined;
    const at = separator === undefined ? (found?.index ?? -1) : rest.indexOf(separator);
    if (at < 0) break;
    parts.push(rest.slice(0, at));
    rest = rest.slice(at + (found?.[0].length ?? separator?.length ?? 0));
  }
  if (separator !== undefined || rest !== "") parts.push(rest);
  return parts;
}

/** str.rsplit */
export function rsplit(text: string, separator: string | undefined, most: number): string[] {
  if (most < 0) return split(text, separator, -1);
  const reversed = (value: string) => codePoints(value).reverse().join("");
  const parts = split(reversed(text), separator === undefined ? undefined : reversed(separator), most);
  return parts.map(reversed).reverse();
}
