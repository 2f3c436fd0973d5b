/** Holds the names that a template has set, the innermost scope first, and the step limit of a rendering. */

import { fail } from "./errors.ts";
import { Undefined, type Value } from "./values.ts";

/** The maximum number of steps of a rendering: far more than templates need, and one or two seconds. */
const MAX_STEPS = 5_000_000;
/** Stops templates that would not end. */
export class Budget {
  #steps = MAX_STEPS;

  step(count = 1): void {
    this.#steps -= count;
    if (this.#steps < 0) fail(`it takes more than ${MAX_STEPS} steps`, "LimitError");
  }
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
