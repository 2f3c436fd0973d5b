/** What a template writes. */

import { fail } from "./errors.ts";
import { checkLength, MOST_TEXT } from "./size.ts";

/** What the error is called that ends a rendering which writes more than it may. */
export const OVERFLOW = "OverflowError of what is written";

export class Output {
  readonly #texts: string[] = [];
  readonly #most: number;
  #length = 0;

  /** @param most UTF-16 units that may be written */
  constructor(most = MOST_TEXT) {
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
