/**
 * Separates the text of messages from the template's text. Mirrors gemtab/chat/spoken.py.
 *
 * Control tokens spelled out in messages and tools are text. Before the template sees such a string, the first
 * character of each control token in the string is replaced by a twin: a character of a private plane that nothing else
 * uses. If the end of the string cuts a control token, a character of that token is replaced as well. White space
 * inside a token is ignored. Templates may trim, join and filter the strings: they cannot produce a control token from
 * them. Splitting the prompt into tokens restores the characters.
 */

import { FIRST_TWIN } from "../facts.gen.ts";
import { compareText, isSpace } from "./jinja/text.ts";

interface Node {
  next: Map<string, Node>;
  ends: boolean;
}

/** Stand-in characters, by the character that each replaces. */
export type Twins = ReadonlyMap<string, string>;

/** Splits a prompt into pieces that are encoded one by one. */
export type Cut = (prompt: string) => Piece[];

/** The whole prompt as one piece. */
export const whole: Cut = (text) => [{ text, asText: false }];

/** A piece of a prompt. asText: whether the piece is a control token's characters, to be encoded as text. */
export interface Piece {
  text: string;
  asText: boolean;
}

/** Finds control tokens in texts, and replaces their characters by twins and back. */
export class ControlTokens {
  readonly #tokens: readonly string[];
  readonly #forward: Node;
  readonly #backward: Node;
  readonly #pattern: RegExp;
  /** The first and last characters of all tokens, sorted. */
  readonly #edges: readonly string[];

  /** @param tokens the spellings of the tokens */
  constructor(tokens: readonly string[]) {
    this.#tokens = tokens.filter((token) => token !== "");
    this.#forward = trie(this.#tokens.map((token) => [...token]));
    this.#backward = trie(this.#tokens.map((token) => [...token].reverse()));
    const edges = this.#tokens.flatMap((token) => [[...token][0] as string, [...token].at(-1) as string]);
    this.#edges = [...new Set(edges)].sort(compareText);
    const longestFirst = [...this.#tokens].sort((left, right) => right.length - left.length);
    this.#pattern = new RegExp(
      longestFirst.map((token) => token.replace(/[^\w]/gu, escaped)).join("|") || "(?!)",
      "gu",
    );
  }

  /** Return these control tokens without some of them. */
  without(...tokens: readonly string[]): ControlTokens {
    return new ControlTokens(this.#tokens.filter((token) => !tokens.includes(token)));
  }

  /**
   * Return twins that occur neither in `texts` nor in `others`, or undefined where no text can hold a control token.
   */
  twins(texts: readonly string[], others: readonly string[]): Twins | undefined {
    if (!texts.some((text) => this.#edges.some((edge) => text.includes(edge)))) return undefined;
    const joined = [...texts, ...others].join("\n").toLowerCase();
    let code = FIRST_TWIN;
    const twins = new Map<string, string>();
    for (const character of this.#edges) {
      while (forms(code).some((form) => joined.includes(form.toLowerCase()))) code++;
      twins.set(character, String.fromCodePoint(code++));
    }
    return twins;
  }

  /** Return `text` with twins. everywhere: replace each character that a control token could begin or end with. */
  guard(text: string, twins: Twins, everywhere = false): string {
    if (everywhere) return [...text].map((character) => twins.get(character) ?? character).join("");
    const positions = this.#positions(text);
    if (positions.size === 0) return text;
    return [...text]
      .map((character, i) => (positions.has(i) ? (twins.get(character) ?? character) : character))
      .join("");
  }

  /** Return the control tokens in a text, in order. */
  found(text: string): string[] {
    return text.match(this.#pattern) ?? [];
  }

  /** Split a guarded prompt into pieces that are encoded one by one. */
  pieces(text: string, twins: Twins): Piece[] {
    const back = new Map([...twins].map(([character, twin]) => [twin, character]));
    const plain = (guarded: string) => [...guarded].map((character) => back.get(character) ?? character).join("");
    const pieces: Piece[] = [];
    let open = "";
    const close = (next?: string) => {
      if (open !== "") pieces.push({ text: open, asText: false });
      open = "";
      if (next !== undefined) pieces.push({ text: next, asText: true });
    };
    let at = 0;
    for (const own of [...text.matchAll(this.#pattern), undefined]) {
      const between = plain(text.slice(at, own?.index));
      let from = 0;
      for (const said of between.matchAll(this.#pattern)) {
        open += between.slice(from, said.index);
        close(said[0]);
        from = said.index + said[0].length;
      }
      open += between.slice(from) + (own?.[0] ?? "");
      at = own ? own.index + own[0].length : text.length;
    }
    close();
    return pieces;
  }

  /** Return the indices, in code points, of the characters that get twins. */
  #positions(text: string): Set<number> {
    const positions = new Set<number>();
    if (!this.#edges.some((edge) => text.includes(edge))) return positions;
    const characters = [...text];
    for (let i = 0; i < characters.length; i++) {
      if (this.#forward.next.has(characters[i] as string) && runsInto(this.#forward, characters, i, 1, true))
        positions.add(i);
      if (this.#backward.next.has(characters[i] as string) && runsInto(this.#backward, characters, i, -1, false))
        positions.add(i);
    }
    return positions;
  }
}

/** Restore twins that a template printed as Python or JSON escapes. */
export function reread(text: string, twins: Twins): string {
  let read = text;
  for (const twin of twins.values()) {
    for (const form of forms(twin.codePointAt(0) as number)) read = read.replaceAll(form, twin);
  }
  return read;
}

/** Return all strings in a value, keys included. */
export function stringsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(stringsIn);
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return entries.flatMap(([key, one]) => [...stringsIn(key), ...stringsIn(one)]);
}

/** Return `value` with its strings changed, keys included. path: the keys that lead to a string. */
export function mapStrings(value: unknown, change: (text: string, path: string) => string, path = ""): unknown {
  if (typeof value === "string") return change(value, path);
  if (Array.isArray(value)) return value.map((one) => mapStrings(one, change, `${path}[]`));
  if (value instanceof Map || (typeof value === "object" && value !== null && isPlain(value))) {
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    const inner = (key: unknown) => (typeof key === "string" ? change(key, `${path}.`) : key);
    return new Map(entries.map(([key, one]) => [inner(key), mapStrings(one, change, `${path}.${String(key)}`)]));
  }
  return value;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function trie(words: readonly string[][]): Node {
  const root: Node = { next: new Map(), ends: false };
  for (const word of words) {
    let node = root;
    for (const character of word.filter((one) => !isSpace(one))) {
      const next = node.next.get(character) ?? { next: new Map(), ends: false };
      node.next.set(character, next);
      node = next;
    }
    node.ends = true;
  }
  return root;
}

/**
 * Whether a word of the trie is at `start`, or begins there and is cut by the end of the text. whole: whether a
 * complete word counts.
 */
function runsInto(root: Node, characters: readonly string[], start: number, step: 1 | -1, whole: boolean): boolean {
  let node = root;
  for (let i = start; ; i += step) {
    const character = characters[i];
    if (character === undefined) return true;
    if (i !== start && isSpace(character)) continue;
    const next = node.next.get(character);
    if (!next) return false;
    if (next.ends && whole) return true;
    node = next;
  }
}

/** Return a twin itself, and its escapes in Python and JSON. */
function forms(code: number): string[] {
  const twin = String.fromCodePoint(code);
  const [high, low] = [twin.charCodeAt(0), twin.charCodeAt(1)].map((unit) => unit.toString(16));
  return [twin, `\\U${code.toString(16).padStart(8, "0")}`, `\\u${high}\\u${low}`];
}

function escaped(character: string): string {
  return /[-/\\^$*+?.()|[\]{}]/.test(character) ? `\\${character}` : character;
}
