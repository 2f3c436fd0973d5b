/** Collects the text that a template writes. */

import { fail } from "./errors.ts";
import { checkLength, MAX_TEXT } from "./size.ts";

/** The name of the error that ends a rendering whose output exceeds its limit. */
export const OVERFLOW = "OverflowError of what is written";

export class Output {
  readonly #texts: string[] = [];
  readonly #most: number;
  #length = 0;

  /** @param most the maximum UTF-16 units of the output */
  constructor(most = MAX_TEXT) {
    this.#most = most;
  }

  write(text: string): void {
    this.#length += text.length;
    checkLength(text.length);
    if (this.#length > this.#most) fail(`it writes more than ${this.#most} characters`, OVERFLOW);
    this.#texts.push(text);
  }

  toString(): string {
    checkLength(this.#length);
    return this.#texts.join("");
  }
}
