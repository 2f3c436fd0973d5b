/** Limits the strings and lists of a rendering, to stop templates that would fill the memory. */

import { fail } from "./errors.ts";

/** The maximum UTF-16 units of any string, intermediate ones included. */
export const MAX_TEXT = 64 << 20;
/** The maximum number of items of any list. */
const MAX_ITEMS = 4 << 20;
/** The maximum UTF-16 units of all strings and lists together, in use or not. */
const MAX_MADE = 256 << 20;
/** The units that one list item counts as. */
const ITEM_UNITS = 64;

/** The units that the current rendering has made. Renderings run one after another, and none waits. */
let made = 0;

/** Start a rendering. */
export function startCounting(): void {
  made = 0;
}

/** Check the length of a string before it is made. */
export function checkLength(length: number): void {
  if (length > MAX_TEXT) fail(`it makes a text of more than ${MAX_TEXT} characters`, "LimitError");
  count(length);
}

export function spaces(count: number): string {
  checkLength(count);
  return " ".repeat(Math.max(count, 0));
}

/** Check the length of a list before it is made. */
export function checkItems(length: number): void {
  if (length > MAX_ITEMS) fail(`it makes a list of more than ${MAX_ITEMS} items`, "LimitError");
  count(length * ITEM_UNITS);
}

function count(units: number): void {
  made += units;
  if (made > MAX_MADE) fail(`it makes texts and lists of more than ${MAX_MADE} characters`, "LimitError");
}
