/** Parses JSON as Python does: 3.0 stays a float, large integers stay exact, and members keep their order. */

import { Float } from "./jinja/values.ts";

const TOKEN =
  /[ \t\r\n]*(?:([[\]{},:])|("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null|NaN|-?Infinity))/y;

/**
 * Parse JSON. Objects become Maps, integers beyond 2^53 bigints, and numbers with a point or an exponent Float.
 *
 * @throws SyntaxError
 */
export function readJson(text: string): unknown {
  const reader = new Reader(text);
  const value = reader.value();
  reader.end();
  return value;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): unknown {
    const [mark, string, number, word] = this.#next();
    if (string !== undefined) return JSON.parse(string);
    if (number !== undefined) return ofNumber(number);
    if (word !== undefined) return ofWord(word);
    if (mark === "[") return this.#array();
    if (mark === "{") return this.#object();
    return this.#fail();
  }

  end(): void {
    if (this.#text.slice(this.#at).trim() !== "") this.#fail();
  }

  #array(): unknown[] {
    const items: unknown[] = [];
    if (this.#skip("]")) return items;
    do items.push(this.value());
    while (this.#skip(","));
    if (!this.#skip("]")) this.#fail();
    return items;
  }

  #object(): Map<string, unknown> {
    const members = new Map<string, unknown>();
    if (this.#skip("}")) return members;
    do {
      const [, key] = this.#next();
      if (key === undefined || !this.#skip(":")) return this.#fail();
      members.set(JSON.parse(key), this.value());
    } while (this.#skip(","));
    if (!this.#skip("}")) this.#fail();
    return members;
  }

  #next(): (string | undefined)[] {
    TOKEN.lastIndex = this.#at;
    const found = TOKEN.exec(this.#text);
    if (!found) return this.#fail();
    this.#at = TOKEN.lastIndex;
    return found.slice(1);
  }

  #skip(mark: string): boolean {
    const before = this.#at;
    TOKEN.lastIndex = before;
    const found = TOKEN.exec(this.#text);
    if (found?.[1] !== mark) return false;
    this.#at = TOKEN.lastIndex;
    return true;
  }

  #fail(): never {
    throw new SyntaxError(`This is not JSON: unexpected text at character ${this.#at}.`);
  }
}

function ofNumber(text: string): unknown {
  if (/[.eE]/.test(text)) return new Float(Number(text));
  const number = Number(text);
  return Number.isSafeInteger(number) ? (Object.is(number, -0) ? 0 : number) : BigInt(text);
}

function ofWord(word: string): unknown {
  if (word === "null") return null;
  return word === "true" || word === "false" ? word === "true" : new Float(Number(word));
}
