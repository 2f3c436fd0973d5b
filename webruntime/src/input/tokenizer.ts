/** Text to token ids and back, by the bundle's tokenizer.json. */

import { Tokenizer as Pipeline } from "@huggingface/tokenizers";
import type { BundleFiles } from "../engine/engine-interface.ts";
import { BundleError } from "../engine/errors.ts";
import { type AddedToken, AddedTokenSplitter, readAddedTokens, type Section } from "./added-tokens.ts";
import { wellFormed } from "./jinja/text.ts";
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

  constructor(tokenizerJson: object, tokenizerConfig: object) {
    // Added tokens are found here: the library does not know single_word, nor what white space lstrip and rstrip take.
    this.#pipeline = new Pipeline({ ...tokenizerJson, added_tokens: [] }, tokenizerConfig);
    const added = readAddedTokens(tokenizerJson, this.#pipeline.model?.tokens_to_ids ?? new Map());
    this.#added = new Map(added.map((token) => [token.id, token]));
    const given = added.filter(({ normalized }) => !normalized);
    const normalized = added.filter((token) => token.normalized);
    this.#given = new AddedTokenSplitter(given.map((token) => [token.content, token]));
    this.#normalized = new AddedTokenSplitter(normalized.map((token) => [this.#normal(token.content), token]));
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
    return this.#given.split(wellFormed(text)).flatMap((section, index) => this.#section(section, index));
  }

  /** The ids of a prompt's pieces. */
  encodePieces(pieces: readonly PromptPiece[]): number[] {
    return pieces.flatMap(({ text, asText }) => (asText ? this.#text(this.#normal(text), 1) : this.encode(text)));
  }

  /** The id of a token by its name; throws BundleError when the vocabulary lacks it. */
  id(token: string): number {
    const id = this.added.find(({ content }) => content === token)?.id ?? this.#pipeline.token_to_id(token);
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
    const token = added?.content ?? this.#pipeline.id_to_token(id);
    // Vocabularies of checkpoints are often padded beyond the tokenizer's.
    if (token === undefined) return { kind: "text", text: "" };
    const byte = BYTE_TOKEN.exec(token)?.[1];
    if (byte !== undefined) return { kind: "byte", byte: Number.parseInt(byte, 16) };
    return { kind: "text", text: this.#pipeline.decoder?.([token]) ?? token };
  }

  #section({ text, token }: Section, index: number): number[] {
    if (token) return [token.id];
    return this.#normalized
      .split(this.#normal(text))
      .flatMap((one) => (one.token ? [one.token.id] : this.#text(one.text, index)));
  }

  #normal(text: string): string {
    return this.#pipeline.normalizer?.(text) ?? text;
  }

  /** Normalized text without added tokens. index: of its section, since some tokenizers treat the first otherwise. */
  #text(text: string, index: number): number[] {
    const { pre_tokenizer: words, model } = this.#pipeline;
    if (text === "" || !model) return [];
    const tokens = model(words ? words(text, { section_index: index }) : [text]);
    const ids = tokens.map((token) => model.tokens_to_ids.get(token) ?? model.unk_token_id);
    return ids.filter((id) => id !== undefined);
  }
}

export async function loadTokenizer(files: BundleFiles): Promise<Tokenizer> {
  const [tokenizer, config] = await Promise.all([files.json("tokenizer.json"), files.json("tokenizer_config.json")]);
  try {
    return new Tokenizer(tokenizer as object, config as object);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BundleError(`tokenizer.json cannot be read: ${reason}. Export again.`, "tokenizer.json");
  }
}
