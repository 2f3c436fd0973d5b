/** How large what a rendering makes may be: what ends templates that would fill the memory. */

import { fail } from "./errors.ts";

/** UTF-16 units of any string that is made on the way. */
export const MOST_TEXT = 64 << 20;
/** Items of any list. */
const MOST_ITEMS = 4 << 20;
/** UTF-16 units of all of them together, be they still needed or not. */
const MOST_MADE = 256 << 20;
/** What an item takes of that. */
const ITEM_UNITS = 64;

/** What the rendering that is going on has made: one begins when the one before has ended, and none waits for anything. */
let made = 0;

/** A rendering begins. */
export function startCounting(): void {
  made = 0;
}

/** Before a string of this length is made. */
export function checkLength(length: number): void {
  if (length > MOST_TEXT) fail(`it makes a text of more than ${MOST_TEXT} characters`, "LimitError");
  count(length);
}

export function spaces(count: number): string {
  checkLength(count);
  return " ".repeat(Math.max(count, 0));
}

/** Before a list of this length is made. */
export function checkItems(length: number): void {
  if (length > MOST_ITEMS) fail(`it makes a list of more than ${MOST_ITEMS} items`, "LimitError");
  count(length * ITEM_UNITS);
}

function count(units: number): void {
  made += units;
  if (made > MOST_MADE) fail(`it makes texts and lists of more than ${MOST_MADE} characters`, "LimitError");
}
