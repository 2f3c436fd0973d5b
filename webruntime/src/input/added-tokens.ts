/** Matches added tokens in a text before all other tokenizing, as the tokenizers library does. */

/** An entry of `added_tokens` in tokenizer.json. */
export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  /** Whether the token matches only between characters that are not letters, digits or underscores. */
  single_word: boolean;
  /** Whether the match includes the white space before the token. */
  lstrip: boolean;
  rstrip: boolean;
  /** Whether the token is matched in normalized text. */
  normalized: boolean;
}

/** A section of a text. token: the added token that the section is, if it is one. */
export interface Section {
  text: string;
  token?: AddedToken;
}

const WORD = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";
const ENDS_WITH_WORD = new RegExp(`${WORD}$`, "u");
const STARTS_WITH_WORD = new RegExp(`^${WORD}`, "u");
const LEADING_SPACE = /^\p{White_Space}+/u;
const SPACE = /\p{White_Space}/u;

/** Tokens with one first UTF-16 unit: by their spelling, and their lengths in UTF-16 units, the longest first. */
interface Alike {
  tokens: Map<string, AddedToken>;
  lengths: number[];
}

/** Splits texts at some added tokens. There may be very many. */
export class AddedTokenSplitter {
  /** Tokens by their first UTF-16 unit. */
  readonly #byFirst = new Map<string, Alike>();

  /** @param tokens pairs of a token's spelling in the texts, and the token; the first of equal spellings counts */
  constructor(tokens: readonly (readonly [string, AddedToken])[]) {
    for (const [content, token] of tokens) {
      if (content === "") continue;
      const alike = this.#byFirst.get(content.charAt(0)) ?? { tokens: new Map(), lengths: [] };
      if (!alike.tokens.has(content)) alike.tokens.set(content, token);
      this.#byFirst.set(content.charAt(0), alike);
    }
    for (const alike of this.#byFirst.values()) {
      const lengths = new Set([...alike.tokens.keys()].map(({ length }) => length));
      alike.lengths = [...lengths].sort((left, right) => right - left);
    }
  }

  /** Return the sections of a text: added tokens, and the text between them. */
  split(text: string): Section[] {
    const sections: Section[] = [];
    let end = 0;
    for (const { token, start, stop } of this.#matches(text)) {
      if (token.single_word && !isAlone(text, start, stop)) continue;
      const from = token.lstrip ? Math.max(spaceBefore(text, start), end) : start;
      const to = token.rstrip ? stop + (LEADING_SPACE.exec(text.slice(stop))?.[0].length ?? 0) : stop;
      if (end < from) sections.push({ text: text.slice(end, from) });
      sections.push({ text: text.slice(from, to), token });
      end = to;
    }
    if (end < text.length) sections.push({ text: text.slice(end) });
    return sections;
  }

  /** Yield the longest match at each position, from left to right. */
  *#matches(text: string): Generator<{ token: AddedToken; start: number; stop: number }> {
    if (this.#byFirst.size === 0) return;
    for (let i = 0; i < text.length; i++) {
      const found = this.#at(text, i);
      if (!found) continue;
      yield { token: found.token, start: i, stop: i + found.length };
      i += found.length - 1;
    }
  }

  /** Return the longest token at `start`. */
  #at(text: string, start: number): { token: AddedToken; length: number } | undefined {
    const alike = this.#byFirst.get(text.charAt(start));
    if (!alike) return undefined;
    for (const length of alike.lengths) {
      const token = alike.tokens.get(text.slice(start, start + length));
      if (token && start + length <= text.length) return { token, length };
    }
    return undefined;
  }
}

function isAlone(text: string, start: number, stop: number): boolean {
  return (
    !ENDS_WITH_WORD.test(text.slice(Math.max(start - 2, 0), start)) &&
    !STARTS_WITH_WORD.test(text.slice(stop, stop + 2))
  );
}

/** Return the position where the white space before `start` begins. */
function spaceBefore(text: string, start: number): number {
  let at = start;
  while (at > 0 && SPACE.test(text.charAt(at - 1))) at--;
  return at;
}

/**
 * Return the added tokens of a tokenizer.json. As in the tokenizers library, a token of the vocabulary keeps the
 * vocabulary's id. Other tokens are numbered after the vocabulary, whatever ids the file has.
 */
export function readAddedTokens(json: unknown, vocabulary: ReadonlyMap<string, number>): AddedToken[] {
  const list = (json as { added_tokens?: unknown }).added_tokens;
  const tokens = new Map<string, AddedToken>();
  let next = vocabulary.size;
  for (const one of Array.isArray(list) ? (list as Partial<AddedToken>[]) : []) {
    const { content, special = false, single_word = false, lstrip = false, rstrip = false } = one;
    if (typeof content !== "string") throw new Error("added_tokens has an entry without content");
    if (content === "") continue;
    const id = tokens.get(content)?.id ?? vocabulary.get(content) ?? next++;
    tokens.set(content, { id, content, special, single_word, lstrip, rstrip, normalized: one.normalized ?? !special });
  }
  return [...tokens.values()];
}
