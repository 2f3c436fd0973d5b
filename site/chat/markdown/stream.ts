/**
 * Markdown as it comes. A block that has ended is shown once. What follows is parsed anew as it grows, and the whole once
 * more at the end, since a link may refer to an address that stands below it.
 */

type Parser = typeof import("./whole.ts");

/** Characters beyond which an answer is shown as it is written: parsing it would take seconds. */
const MOST_CHARACTERS = 200_000;

/** A parse that takes longer is the last: some texts take quadratic time, and the page must not stand still. */
const MOST_MS = 250;

/** While an answer comes, the page rests so many times as long as it parsed. */
const REST = 4;

/** Characters of the first part of a text that is parsed to see how long that takes; each further one is twice as long. */
const FIRST_PART = 4096;

let loading: Promise<Parser> | undefined;
let parser: Parser | undefined;

/** Loads the parser. Until it is there, and where it cannot be loaded, texts are shown as they are written. */
export async function loadParser(): Promise<void> {
  loading ??= import("./whole.ts");
  try {
    parser = await loading;
  } catch {
    loading = undefined;
  }
}

/** Writes markdown into `root` as it comes. */
export class MarkdownStream {
  readonly #root: HTMLElement;
  readonly #changed: () => void;
  #source = "";
  /** Where the first block begins that may still grow. */
  #open = 0;
  /** The nodes that show what comes from there. */
  #growing: Node[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #nextAt = 0;
  #ended = false;
  /** Shown as it is written from here on. */
  #plain = false;

  /** changed: called when `root` has changed later than by a call. */
  constructor(root: HTMLElement, changed: () => void = () => {}) {
    this.#root = root;
    this.#changed = changed;
  }

  write(text: string): void {
    // With the first words, not before: they are not kept waiting for its script.
    if (!parser && this.#source === "") void loadParser().then(() => this.#parserCame());
    this.#source += text;
    this.#plain ||= this.#source.length > MOST_CHARACTERS;
    if (this.#plain || !parser) this.#root.append(text);
    else this.#timer ??= setTimeout(() => this.#grow(), Math.max(0, this.#nextAt - performance.now()));
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    if (parser && !this.#plain) this.#showAll(parser);
  }

  #parserCame(): void {
    if (!parser || this.#plain) return;
    this.#root.replaceChildren();
    if (this.#ended) this.#showAll(parser);
    else this.#showGrown(parser);
    this.#changed();
  }

  #grow(): void {
    this.#timer = undefined;
    if (!parser) return;
    const began = performance.now();
    this.#showGrown(parser);
    const now = performance.now();
    this.#nextAt = now + REST * (now - began);
    this.#changed();
  }

  #showGrown({ parse, render, startOfLast }: Parser): void {
    const source = this.#source.slice(this.#open);
    this.#plain = !this.#inTime(() => {
      const root = parse(source);
      const [ended, growing] = [root.children.slice(0, -1), root.children.slice(-1)];
      const shown = [ended, growing].map((children) => render({ ...root, children }, source));
      for (const node of this.#growing) this.#root.removeChild(node);
      for (const nodes of shown) this.#root.append(...nodes);
      this.#growing = shown[1] ?? [];
      this.#open += startOfLast(root, source);
    });
  }

  /** Parses longer and longer parts first, to see in time that the whole would take too long. */
  #showAll({ parse, render }: Parser): void {
    for (let length = FIRST_PART; length < this.#source.length && !this.#plain; length *= 2) {
      this.#plain = !this.#inTime(() => parse(this.#source.slice(0, length)));
    }
    if (this.#plain) this.#root.replaceChildren(this.#source);
    else this.#inTime(() => this.#root.replaceChildren(...render(parse(this.#source), this.#source)));
  }

  /** Whether it took no more than MOST_MS. Where it fails, the text is shown as it is written. */
  #inTime(work: () => void): boolean {
    const began = performance.now();
    try {
      work();
    } catch {
      this.#root.replaceChildren(this.#source);
      return false;
    }
    return performance.now() - began <= MOST_MS;
  }
}
