/** Text to token ids and back, by the bundle's tokenizer.json. */

import type { BundleFiles } from "../bundle/files.ts";
import { objectIn } from "../bundle/json-text.ts";
import { BundleError, causeOf, typed } from "../errors.ts";
import { type AddedToken, AddedTokenSplitter, readAddedTokens, type Section } from "./added-tokens.ts";
import { wellFormed } from "./jinja/text.ts";
import { Pipeline } from "./pipeline.ts";
import type { Piece as PromptPiece } from "./spoken.ts";

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/** What one id adds to a text: characters, a byte of a character that several ids spell, or nothing to be shown. */
export type Piece = { kind: "text"; text: string } | { kind: "byte"; byte: number } | { kind: "special"; text: string };

export class Tokenizer {
  readonly #pipeline: Pipeline;
  readonly #added: ReadonlyMap<number, AddedToken>;
  /** Cuts texts as they are given, and then normalized ones. */
  readonly #given: AddedTokenSplitter;
  readonly #normalized: AddedTokenSplitter;
  #most = Number.POSITIVE_INFINITY;
  /** UTF-16 units that were normalized of the prompt so far. */
  #made = 0;

  /** @throws Error for a tokenizer that cannot be read */
  constructor(tokenizerJson: object) {
    this.#pipeline = new Pipeline(tokenizerJson as Record<string, unknown>);
    const added = readAddedTokens(tokenizerJson, this.#pipeline.model.tokens_to_ids);
    this.#added = new Map(added.map((token) => [token.id, token]));
    const given = added.filter(({ normalized }) => !normalized);
    const normalized = added.filter((token) => token.normalized);
    this.#given = new AddedTokenSplitter(given.map((token) => [token.content, token]));
    this.#normalized = new AddedTokenSplitter(normalized.map((token) => [this.#pipeline.normal(token.content), token]));
  }

  /** Tokens that are matched whole. */
  get added(): AddedToken[] {
    return [...this.#added.values()];
  }

  /**
   * Special tokens spelled out in the text become those tokens, as in transformers; none are added. Lone surrogates are
   * read as U+FFFD.
   */
  encode(text: string): number[] {
    return used(() => this.#given.split(wellFormed(text)).flatMap((section, index) => this.#section(section, index)));
  }

  /** UTF-16 units that a prompt may have once it is normalized: a BundleError ends what makes more of it. */
  set most(units: number) {
    this.#most = units;
    this.#pipeline.most = units;
  }

  /** UTF-16 units of the longest token. */
  get longest(): number {
    const added = this.added.map(({ content }) => content.length);
    const tokens = this.#pipeline.model.vocab as readonly (string | undefined)[];
    return [...tokens.map((token) => token?.length ?? 0), ...added].reduce((most, length) => Math.max(most, length), 1);
  }

  /** The ids of a prompt's pieces. */
  encodePieces(pieces: readonly PromptPiece[]): number[] {
    this.#made = 0;
    return pieces.flatMap(({ text, asText }) => (asText ? used(() => this.#text(text)) : this.encode(text)));
  }

  /** The id of a token by its name; throws BundleError when the vocabulary lacks it. */
  id(token: string): number {
    const id = this.added.find(({ content }) => content === token)?.id ?? this.#pipeline.model.tokens_to_ids.get(token);
    if (id === undefined) {
      throw new BundleError(
        `tokenizer.json has no token ${token}, which Gemma 4 needs. Export again.`,
        "tokenizer.json",
      );
    }
    return id;
  }

  piece(id: number): Piece {
    const added = this.#added.get(id);
    if (added?.special) return { kind: "special", text: added.content };
    const token = added?.content ?? this.#pipeline.model.vocab[id];
    // Vocabularies of checkpoints are often padded beyond the tokenizer's.
    if (token === undefined) return { kind: "text", text: "" };
    const byte = BYTE_TOKEN.exec(token)?.[1];
    if (byte !== undefined) return { kind: "byte", byte: Number.parseInt(byte, 16) };
    return { kind: "text", text: used(() => this.#pipeline.decode(token)) };
  }

  #section({ text, token }: Section, index: number): number[] {
    if (token) return [token.id];
    const sections = this.#normalized.split(this.#normal(text));
    return sections.flatMap((one, i) =>
      one.token ? [one.token.id] : this.#pipeline.encode(one.text, index + i === 0),
    );
  }

  /** A text in which nothing is matched whole. */
  #text(text: string): number[] {
    return this.#pipeline.encode(this.#normal(text), false);
  }

  #normal(text: string): string {
    const normal = this.#pipeline.normal(text);
    this.#made += normal.length;
    if (this.#made > this.#most) throw new Error(`it makes a text of more than ${this.#most} characters`);
    return normal;
  }
}

/** What a tokenizer does to a text; BundleError where it cannot. */
function used<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw typed(
      error,
      (cause) => new BundleError(`tokenizer.json cannot be used: ${cause}. Export again.`, "tokenizer.json"),
    );
  }
}

export async function loadTokenizer(files: BundleFiles): Promise<Tokenizer> {
  const tokenizer = objectIn(await files.json("tokenizer.json"), "tokenizer.json");
  try {
    return new Tokenizer(tokenizer);
  } catch (cause) {
    throw new BundleError(`tokenizer.json cannot be read: ${causeOf(cause)}. Export again.`, "tokenizer.json");
  }
}
