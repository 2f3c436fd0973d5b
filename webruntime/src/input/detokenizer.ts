/** Converts a stream of ids to a stream of text. */

import type { Tokenizer } from "./tokenizer.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Returns text as soon as no later id can change it. Byte tokens are read as the tokenizers library reads them: a run
 * of byte tokens is held until it ends. If the whole run is valid UTF-8, it becomes characters; otherwise each byte
 * becomes U+FFFD. Special tokens add nothing.
 */
export class Detokenizer {
  readonly #tokenizer: Tokenizer;
  #run: number[] = [];

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** Return the text that `id` completes: "" within a run of bytes. */
  push(id: number): string {
    const piece = this.#tokenizer.piece(id);
    if (piece.kind === "special") return "";
    if (piece.kind === "text") return this.end() + piece.text;
    this.#run.push(piece.byte);
    return "";
  }

  /** Return the text of the last run of bytes. */
  end(): string {
    const run = this.#run;
    this.#run = [];
    try {
      return UTF8.decode(Uint8Array.from(run));
    } catch {
      return "\ufffd".repeat(run.length);
    }
  }
}
