/** Names that a template has set, the innermost first, and what limits a rendering. */

import { fail } from "./errors.ts";
import { Undefined, type Value } from "./values.ts";

/** Steps that a rendering may take: far more than templates need, and a few seconds. */
const MOST_STEPS = 20_000_000;
/** UTF-16 units of a rendered conversation or any string that is made on the way. */
const MOST_TEXT = 64 << 20;

/** Ends templates that would not end, or would fill the memory. */
export class Budget {
  #steps = MOST_STEPS;

  step(count = 1): void {
    this.#steps -= count;
    if (this.#steps < 0) fail(`it takes more than ${MOST_STEPS} steps`, "LimitError");
  }
}

export function checkLength(length: number): void {
  if (length > MOST_TEXT) fail(`it makes a text of more than ${MOST_TEXT} characters`, "LimitError");
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
