/** Names that a template has set, the innermost first, and what limits a rendering. */

import { fail } from "./errors.ts";
import { Undefined, type Value } from "./values.ts";

/** Steps that a rendering may take: far more than templates need, and a few seconds. */
const MOST_STEPS = 20_000_000;
/** UTF-16 units of any string that is made on the way. */
export const MOST_TEXT = 64 << 20;
/** Items of any list. */
const MOST_ITEMS = 4 << 20;
/** UTF-16 units of all of them together, be they still needed or not. */
const MOST_MADE = 512 << 20;
/** What an item takes of that. */
const ITEM_UNITS = 16;

/** Ends templates that would not end, or would fill the memory. */
export class Budget {
  #steps = MOST_STEPS;

  step(count = 1): void {
    this.#steps -= count;
    if (this.#steps < 0) fail(`it takes more than ${MOST_STEPS} steps`, "LimitError");
  }
}

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

export class Scope {
  readonly budget: Budget;
  readonly #names = new Map<string, Value>();
  readonly #parent: Scope | undefined;

  constructor(parent: Scope | undefined, budget = parent?.budget ?? new Budget()) {
    this.#parent = parent;
    this.budget = budget;
  }

  get(name: string): Value {
    for (let scope: Scope | undefined = this; scope; scope = scope.#parent) {
      const value = scope.#names.get(name);
      if (value !== undefined) return value;
    }
    return new Undefined(`'${name}' is undefined`);
  }

  set(name: string, value: Value): void {
    this.#names.set(name, value);
  }
}
