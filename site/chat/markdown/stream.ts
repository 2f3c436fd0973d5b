/**
 * Renders markdown as it comes. A finished block is rendered once. The rest is parsed again as it grows, and the whole
 * text once more at the end, since a link may use an address that stands below it.
 */

type Parser = typeof import("./whole.ts");

/**
 * The maximum number of characters that are rendered. A longer answer is shown as source: parsing it would take
 * seconds.
 */
const MAX_CHARACTERS = 200_000;

/**
 * The maximum milliseconds of a parse; a longer one is the last. Some texts take quadratic time, and the page must stay
 * responsive.
 */
const MAX_MS = 250;

/** The pause between two parses, as a multiple of the time of a parse. */
const REST = 4;

/**
 * The characters of the first part of a text that is parsed to measure the time. Each further part is twice as long.
 */
const FIRST_PART = 4096;

let loading: Promise<Parser> | undefined;
let parser: Parser | undefined;

/** Load the parser. Before it is loaded, and where it cannot be loaded, texts are shown as source. */
export async function loadParser(): Promise<void> {
  loading ??= import("./whole.ts");
  try {
    parser = await loading;
  } catch {
    loading = undefined;
  }
}

/** Renders markdown into `root` as it comes. */
export class MarkdownStream {
  readonly #root: HTMLElement;
  readonly #changed: () => void;
  #source = "";
  /** The beginning of the first block that may still grow. */
  #open = 0;
  /** The nodes that show the text from there on. */
  #growing: Node[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #nextAt = 0;
  #ended = false;
  /** Whether the text from here on is shown as source. */
  #plain = false;

  /** @param changed called when `root` changes later than in a call */
  constructor(root: HTMLElement, changed: () => void = () => {}) {
    this.#root = root;
    this.#changed = changed;
  }

  /** Append text. */
  write(text: string): void {
    // Load with the first text, not before: the text does not wait for the script.
    if (!parser && this.#source === "") void loadParser().then(() => this.#parserCame());
    this.#source += text;
    this.#plain ||= this.#source.length > MAX_CHARACTERS;
    if (this.#plain || !parser) this.#root.append(text);
    else this.#timer ??= setTimeout(() => this.#grow(), Math.max(0, this.#nextAt - performance.now()));
  }

  /** Render the complete text. */
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

  /** Parse longer and longer parts first, to detect in time that the whole text would take too long. */
  #showAll({ parse, render }: Parser): void {
    for (let length = FIRST_PART; length < this.#source.length && !this.#plain; length *= 2) {
      this.#plain = !this.#inTime(() => parse(this.#source.slice(0, length)));
    }
    if (this.#plain) this.#root.replaceChildren(this.#source);
    else this.#inTime(() => this.#root.replaceChildren(...render(parse(this.#source), this.#source)));
  }

  /** Run `work`, and return whether it took at most MAX_MS. After an error, the text is shown as source. */
  #inTime(work: () => void): boolean {
    const began = performance.now();
    try {
      work();
    } catch {
      this.#root.replaceChildren(this.#source);
      return false;
    }
    return performance.now() - began <= MAX_MS;
  }
}
