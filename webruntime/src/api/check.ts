/**
 * Checks the arguments of pages against tables. An unknown option or an invalid value is rejected with an error that
 * names it.
 */

import { UsageError } from "../errors.ts";

/** Checks `found`, the value at `path`. Throws UsageError where it is not valid. */
export type Rule = (found: unknown, path: string) => void;

/** The rules of an object's members. */
export type Table = Readonly<Record<string, Rule>>;

/**
 * Return a rule.
 *
 * @param expected the valid values in words, for the error
 * @param holds whether a value is valid
 */
export function rule(expected: string, holds: (found: unknown) => boolean): Rule {
  return (found, path) => {
    if (!holds(found)) throw new UsageError(`${path}: found ${words(found)}; expected ${expected}.`);
  };
}

/** Any text. */
export const text = rule("text", (found) => typeof found === "string");
/** A boolean. */
export const flag = rule("true or false", (found) => typeof found === "boolean");

/** A finite number from `least` to `most`. Default of `most`: no limit. */
export function number(least: number, most?: number): Rule {
  return rule(`a number ${range(least, most)}`, (found) => isWithin(found, least, most));
}

/** A whole number from `least` to `most`. Default of `most`: no limit. */
export function whole(least: number, most?: number): Rule {
  return rule(
    `a whole number ${range(least, most)}`,
    (found) => Number.isInteger(found) && isWithin(found, least, most),
  );
}

/** An object of one of the browser's classes, from this page or one of its frames. */
export function instance(expected: string, ...names: string[]): Rule {
  return rule(expected, (found) => names.includes(classOf(found)));
}

/** One of the known values. */
export function oneOf(known: readonly (string | number)[]): Rule {
  return (found, path) => {
    if ((known as readonly unknown[]).includes(found)) return;
    const choices = `Choose one of ${known.map(words).join(", ")}.`;
    throw new UsageError(`${path}: ${words(found)} is not known. ${choices}${nearest(found, known)}`);
  };
}

/** A list whose items all satisfy a rule. */
export function listOf(one: Rule): Rule {
  return (found, path) => {
    if (!Array.isArray(found)) throw new UsageError(`${path}: found ${words(found)}; expected a list.`);
    for (const [index, value] of found.entries()) one(value, `${path}[${index}]`);
  };
}

/** An object with members of `table` only, and all of `required`. Other members may be absent or undefined. */
export function shape(table: Table, required: readonly string[] = []): Rule {
  return (found, path) => {
    if (!isObject(found)) throw new UsageError(`${path}: found ${words(found)}; expected an object.`);
    const at = (name: string) => (path === OPTIONS ? name : `${path}.${name}`);
    for (const [name, value] of Object.entries(found)) {
      const known = Object.keys(table);
      if (known.includes(name)) {
        if (value !== undefined) table[name]?.(value, at(name));
      } else if (value !== undefined) {
        const hint = nearest(name, known) || ` Known options: ${known.join(", ")}.`;
        throw new UsageError(`${at(name)}: this option is unknown.${hint}`);
      }
    }
    for (const name of required) if (found[name] === undefined) table[name]?.(undefined, at(name));
  };
}

/** The path of a call's options. Errors name the options without it. */
export const OPTIONS = "options";

/** Whether a value is an object, and not a list. */
export function isObject(found: unknown): found is Record<string, unknown> {
  return typeof found === "object" && found !== null && !Array.isArray(found);
}

/** Return the members of `options` that are not undefined. */
export function given<Options extends object>(options: Options): Given<Options> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<Options>;
}

type Given<Options> = { [Name in keyof Options]: Exclude<Options[Name], undefined> };

function isWithin(found: unknown, least: number, most = Number.MAX_VALUE): boolean {
  return typeof found === "number" && found >= least && found <= most;
}

function range(least: number, most?: number): string {
  return most === undefined ? `from ${least} on` : `from ${least} to ${most}`;
}

function classOf(found: unknown): string {
  return Object.prototype.toString.call(found).slice("[object ".length, -1);
}

function words(found: unknown): string {
  if (typeof found === "string") return JSON.stringify(found.length > 40 ? `${found.slice(0, 40)}…` : found);
  if (found === undefined) return "nothing";
  if (Array.isArray(found)) return "a list";
  if (typeof found === "function") return "a function";
  return isObject(found) ? `an object (${classOf(found)})` : String(found);
}

/** Return "Did you mean …" where a known name is similar to the one that was found. */
function nearest(found: unknown, known: readonly (string | number)[]): string {
  if (typeof found !== "string") return "";
  const distances = known.map((name) => unlikeness(plain(found), plain(String(name))));
  const least = Math.min(...distances);
  const likely = least <= Math.max(1, Math.floor(found.length / 3));
  return likely ? ` Did you mean "${known[distances.indexOf(least)]}"?` : "";
}

/** Normalize a name: max_tokens, MaxTokens and maxTokens are equal. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "");
}

/** Return the number of letters to add, remove or change; 1 where one name begins with the other. */
function unlikeness(one: string, other: string): number {
  const [short = "", long = ""] = [one, other].sort((left, right) => left.length - right.length);
  if (short.length > 2 && long.startsWith(short)) return Math.min(1, long.length - short.length);
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...one].entries()) {
    const next = [index + 1];
    for (const [column, wanted] of [...other].entries()) {
      const changed = (row[column] ?? 0) + (letter === wanted ? 0 : 1);
      next.push(Math.min(changed, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
