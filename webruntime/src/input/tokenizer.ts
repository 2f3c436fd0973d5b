/** Text to token ids and back, by the bundle's tokenizer.json. */

import { Tokenizer as Pipeline } from "@huggingface/tokenizers";
import type { BundleFiles } from "../engine/engine-interface.ts";
import { BundleError } from "../engine/errors.ts";

const BYTE_TOKEN = /^<0x([0-9A-F]{2})>$/;

/** What one id adds to a text: characters, a byte of a character that several ids spell, or nothing to be shown. */
export type Piece = { kind: "text"; text: string } | { kind: "byte"; byte: number } | { kind: "special"; text: string };

export class Tokenizer {
  readonly #pipeline: Pipeline;
  /** Ids of tokens that mark structure (turns, channels, media) and are not part of the text. */
  readonly #special = new Map<number, string>();

  constructor(tokenizerJson: object, tokenizerConfig: object) {
    this.#pipeline = new Pipeline(tokenizerJson, tokenizerConfig);
    for (const [id, token] of this.#pipeline.get_added_tokens_decoder()) {
      if (token.special) this.#special.set(id, token.content);
    }
  }

  /** Special tokens spelled out in the text become those tokens, as in transformers; none are added. */
  encode(text: string): number[] {
    return this.#pipeline.encode(text, { add_special_tokens: false }).ids;
  }

  /** The id of a token by its name; throws BundleError when the vocabulary lacks it. */
  id(token: string): number {
    const id = this.#pipeline.token_to_id(token);
    if (id === undefined) {
      throw new BundleError(
        `tokenizer.json has no token ${token}, which Gemma 4 needs. Export again.`,
        "tokenizer.json",
      );
    }
    return id;
  }

  piece(id: number): Piece {
    const special = this.#special.get(id);
    if (special !== undefined) return { kind: "special", text: special };
    const byte = BYTE_TOKEN.exec(this.#pipeline.id_to_token(id) ?? "")?.[1];
    if (byte !== undefined) return { kind: "byte", byte: Number.parseInt(byte, 16) };
    return { kind: "text", text: this.#pipeline.decode([id], { clean_up_tokenization_spaces: false }) };
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
