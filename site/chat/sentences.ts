/** Splits streamed text into sentences, for screen readers. */

/**
 * The end of a sentence: a mark, closing characters, and white space; or a line's end; or a mark of Chinese or
 * Japanese.
 */
const END = /[.!?…]["'”’)\]]*\s|\n|[。！？]/g;

/** Collects streamed text until its sentences are complete. */
export class Sentences {
  #rest = "";

  /** Return the complete sentences that `text` ends, joined; often "". */
  push(text: string): string {
    this.#rest += text;
    let end = 0;
    for (const match of this.#rest.matchAll(END)) end = match.index + match[0].length;
    const whole = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end);
    return spoken(whole);
  }

  /** Return the remaining text at the end. */
  end(): string {
    const rest = this.#rest;
    this.#rest = "";
    return spoken(rest);
  }
}

/** Return text without the marks of markdown. */
function spoken(markdown: string): string {
  return markdown.replaceAll(/[*_#`>|~]+/g, "").trim();
}
