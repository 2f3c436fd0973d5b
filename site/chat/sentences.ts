/** Cuts streamed text into sentences, for those who listen. */

/** The end of a sentence: a mark, what closes with it, and white space; or a line's end; or a mark of Chinese or Japanese. */
const END = /[.!?…]["'”’)\]]*\s|\n|[。！？]/g;

export class Sentences {
  #rest = "";

  /** The whole sentences that `text` completes, joined; often "". */
  push(text: string): string {
    this.#rest += text;
    let end = 0;
    for (const match of this.#rest.matchAll(END)) end = match.index + match[0].length;
    const whole = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end);
    return spoken(whole);
  }

  /** What is left when the text ends. */
  end(): string {
    const rest = this.#rest;
    this.#rest = "";
    return spoken(rest);
  }
}

/** Without the marks of markdown. */
function spoken(markdown: string): string {
  return markdown.replaceAll(/[*_#`>|~]+/g, "").trim();
}
