/** Turns a stream of ids into a stream of text. */

import type { Tokenizer } from "./tokenizer.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Text comes out as soon as no later id can change it. Byte tokens are read as the tokenizers library reads them: a run of
 * them is held until it ends, and is characters where all of it is UTF-8, or else U+FFFD for each byte. Special tokens add
 * nothing.
 */
export class Detokenizer {
  readonly #tokenizer: Tokenizer;
  #run: number[] = [];

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** The text that `id` completes; often "", in a run of bytes. */
  push(id: number): string {
    const piece = this.#tokenizer.piece(id);
    if (piece.kind === "special") return "";
    if (piece.kind === "text") return this.end() + piece.text;
    this.#run.push(piece.byte);
    return "";
  }

  /** What is left of a run of bytes. */
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
