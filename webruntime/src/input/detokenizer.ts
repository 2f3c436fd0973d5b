/** Turns a stream of ids into a stream of text. */

import type { Tokenizer } from "./tokenizer.ts";

/**
 * Text comes out as soon as no later id can change it: a character spelled by several byte tokens is held back until
 * its last byte. Bytes that are no character become U+FFFD. Special tokens add nothing.
 */
export class Detokenizer {
  readonly #tokenizer: Tokenizer;
  #decoder = newDecoder();

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** The text that `id` completes; often "", in the middle of a character. */
  push(id: number): string {
    const piece = this.#tokenizer.piece(id);
    if (piece.kind === "byte") return this.#decoder.decode(Uint8Array.of(piece.byte), { stream: true });
    return this.end() + (piece.kind === "text" ? piece.text : "");
  }

  /** What is left of an unfinished character. */
  end(): string {
    const rest = this.#decoder.decode();
    this.#decoder = newDecoder();
    return rest;
  }
}

function newDecoder(): TextDecoder {
  // A byte order mark is a character like any other here.
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
