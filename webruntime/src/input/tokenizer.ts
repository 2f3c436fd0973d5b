/** Converts text to token ids and back, with the bundle's tokenizer.json. */

import type { BundleFiles } from "../bundle/files.ts";
import { objectIn } from "../bundle/json-text.ts";
import { BundleError, causeOf, typed } from "../errors.ts";
import { type AddedToken, AddedTokenSplitter, readAddedTokens, type Section } from "./added-tokens.ts";
import { wellFormed } from "./jinja/text.ts";
import { Pipeline } from "./pipeline.ts";
import type { Piece as PromptPiece } from "./spoken.ts";

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/**
 * The text of one id: characters, one byte of a character that several ids spell, or a special token, which is not
 * shown.
 */
export type Piece = { kind: "text"; text: string } | { kind: "byte"; byte: number } | { kind: "special"; text: string };

/** A tokenizer as tokenizer.json defines it. */
export class Tokenizer {
  readonly #pipeline: Pipeline;
  readonly #added: ReadonlyMap<number, AddedToken>;
  /** Split texts before and after normalization. */
  readonly #given: AddedTokenSplitter;
  readonly #normalized: AddedTokenSplitter;
  #most = Number.POSITIVE_INFINITY;
  /** The UTF-16 units of the normalized prompt so far. */
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

  /** The added tokens. */
  get added(): AddedToken[] {
    return [...this.#added.values()];
  }

  /**
   * Return the ids of a text. Special tokens spelled out in the text become those tokens, as in transformers; none are
   * added. Lone surrogates are read as U+FFFD.
   */
  encode(text: string): number[] {
    return used(() => this.#given.split(wellFormed(text)).flatMap((section, index) => this.#section(section, index)));
  }

  /** The maximum UTF-16 units of a prompt after normalization. Encoding a longer one throws BundleError. */
  set most(units: number) {
    this.#most = units;
    this.#pipeline.most = units;
  }

  /** The UTF-16 units of the longest token. */
  get longest(): number {
    const added = this.added.map(({ content }) => content.length);
    const tokens = this.#pipeline.model.vocab as readonly (string | undefined)[];
    return [...tokens.map((token) => token?.length ?? 0), ...added].reduce((most, length) => Math.max(most, length), 1);
  }

  /** Return the ids of a prompt's pieces. */
  encodePieces(pieces: readonly PromptPiece[]): number[] {
    this.#made = 0;
    return pieces.flatMap(({ text, asText }) => (asText ? used(() => this.#text(text)) : this.encode(text)));
  }

  /** Return the id of a token by its name. Throws BundleError where the vocabulary lacks the token. */
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

  /** Return the text of an id. An unknown id has none. */
  piece(id: number): Piece {
    const added = this.#added.get(id);
    if (added?.special) return { kind: "special", text: added.content };
    const token = added?.content ?? this.#pipeline.model.vocab[id];
    // The vocabulary of a checkpoint is often padded beyond the tokenizer's.
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

  /** Encode a text in which no added token is matched. */
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

/** Run a step of the tokenizer. Throws BundleError where the step fails. */
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

/** Load the tokenizer of a bundle. Throws BundleError where it cannot be read. */
export async function loadTokenizer(files: BundleFiles): Promise<Tokenizer> {
  const tokenizer = objectIn(await files.json("tokenizer.json"), "tokenizer.json");
  try {
    return new Tokenizer(tokenizer);
  } catch (cause) {
    throw new BundleError(`tokenizer.json cannot be read: ${causeOf(cause)}. Export again.`, "tokenizer.json");
  }
}
