// @vitest-environment happy-dom
/** The display of an answer's markdown: its text without marks, however it is split. */

import fc from "fast-check";
import { beforeAll, beforeEach, expect, test, vi } from "vitest";
import { loadParser, MarkdownStream } from "../chat/markdown/stream.ts";

beforeAll(loadParser);
beforeEach(() => {
  vi.useFakeTimers();
});

/** Return the element that shows `parts`, added one after the other. */
function shown(...parts: string[]): HTMLElement {
  const root = document.createElement("div");
  const stream = new MarkdownStream(root);
  for (const part of parts) {
    stream.write(part);
    vi.runAllTimers();
  }
  stream.end();
  return root;
}

const UNCHANGED = [
  "snake_case_name and _private and a_b_c",
  "__init__.py",
  "Write `x`, then __name__ == '__main__'.",
  "$$x^2$$ and $y_1$, 5 $ or 6 $",
  "$x*y*z$, $_i_$ and $\\{a\\}$, $n$th",
  "$$\n\\frac{a}{b} \\\\\n_x_ * y * z\n$$",
  "\\(a_1 * b * c\\) and \\[\n_y_ \\\\ z\n\\]",
  "[1]: https://example.org/",
  "2 * 3 * 4 = 24, 5 > 4 < 6",
  "~5 km, ~/.profile and a~b~c",
  "*args, **kwargs",
  "C:\\new\\table",
  "a < b && b > c; x &y; AT&T",
  "[not a link] and [x]: [1][2] (see [3])",
  "no ![ image, no ]( link",
  "(1) first? 2.5 and 3.",
  "Unicode: naïve, 日本語, 🙂, e\u0301",
  "<b>bold</b> and <script>alert(1)</script>",
  "#hashtag and #1",
  "a | b | c",
  "-1 and +1 and --flag",
];

test.each(UNCHANGED)("%s", (text) => {
  expect(shown(text).textContent).toBe(text.replaceAll("`", ""));
});

const SHOWN: [name: string, source: string, selector: string, text: string][] = [
  ["a fence of tildes", "~~~py\nx = 1\n~~~", "pre code", "x = 1"],
  ["a fence in a fence", "````\n```\nx\n```\n````", "pre code", "```\nx\n```"],
  ["entities", "&lt;div&gt; &amp; &copy; &hearts; &#x1F600;", "p", "<div> & © ♥ 😀"],
  ["entities in code", "`&amp;`", "code", "&amp;"],
  ["an address in brackets", "(see https://example.org/a_b)", "a", "https://example.org/a_b"],
  ["an address at an end", "Go to https://example.org/x.", "a", "https://example.org/x"],
  ["an address in a list", "- www.example.org, too", "a", "www.example.org"],
  ["strong", "**a_b** rest", "strong", "a_b"],
  ["strong by underscores", "__Two words__ rest", "strong", "Two words"],
  ["emphasis within a word", "un*frigging*believable", "em", "frigging"],
  ["strikethrough", "~~gone~~ here", "s", "gone"],
  ["a heading under a line", "Title\n===\ntext", "h3", "Title"],
  ["a nested list", "1. a\n   - b\n2. c", "ol ul li", "b"],
  ["marks between prices", "**$5** and **$6**, US$5", "strong", "$5"],
  ["marks between variables", "echo $HOME and **$PATH**", "strong", "$PATH"],
  ["marks beside a formula", "$x$ *y* $z$", "em", "y"],
  ["marks after a formula without an end", "\\(x *y*", "em", "y"],
  ["code with a dollar", "$a `b$` c", "code", "b$"],
  ["an escaped mark", "\\*not\\* and \\_that\\_", "p", "*not* and _that_"],
  ["a table's head", "| a | b |\n| - | -: |\n| c | d |", "th", "a"],
  ["a line break in a table", "| a |\n| - |\n| b<br>c |", "td", "bc"],
  ["an image", "![a cat](https://example.org/cat.png)", "span.image", "a cat"],
  [
    "a source that is not used",
    "[site][1]\n\n[1]: https://a.example/\n[2]: https://b.example/",
    "p + p",
    "[2]: https://b.example/",
  ],
  ["a link by reference", "[site][1]\n\n[1]: https://example.org/", "a", "site"],
];

test.each(SHOWN)("%s", (_name, source, selector, text) => {
  expect(shown(source).querySelector(selector)?.textContent).toBe(text);
});

test("text after an address is not part of it", () => {
  expect(shown("Go to https://example.org/x.").textContent).toBe("Go to https://example.org/x.");
  expect(shown("Go to https://example.org/x.").querySelector("a")?.getAttribute("href")).toBe("https://example.org/x");
});

test("a list that begins at another number, and boxes that are checked", () => {
  expect(shown("3. c\n4. d").querySelector("ol")?.start).toBe(3);
  const boxes = [...shown("- [x] done\n- [ ] open").querySelectorAll("input")];
  expect(boxes.map(({ checked, disabled }) => [checked, disabled])).toEqual([
    [true, true],
    [false, true],
  ]);
});

test("links that are not of a safe kind lead nowhere", () => {
  const links = shown("[a](javascript:x) [b](data:text/html,x) [c](/local) [d](mailto:a@b.c)").querySelectorAll("a");
  expect([...links].map((link) => link.getAttribute("href"))).toEqual([null, null, null, "mailto:a@b.c"]);
});

/** A text and what is shown of it. */
interface Piece {
  source: string;
  text: string;
}

const WORD = fc.stringMatching(/^[A-Za-z0-9äß日]+(?:[_.'-][A-Za-z0-9äß日]+){0,2}$/).map((word) => `w${word}w`);
const WORDS = fc.array(WORD, { minLength: 1, maxLength: 4 }).map((words) => words.join(" "));

function marked(before: string, after = before): fc.Arbitrary<Piece> {
  return WORDS.map((text) => ({ source: before + text + after, text }));
}

const INLINE: fc.Arbitrary<Piece> = fc.oneof(
  WORDS.map((text) => ({ source: text, text })),
  marked("**"),
  marked("*"),
  marked("~~"),
  marked("`"),
  marked("_"),
  marked("[", "](https://example.org/a_b)"),
  WORD.map((word) => ({ source: `__${word.replace(/[^a-z0-9]/g, "").toLowerCase()}__`, text: "" })).map(
    ({ source }) => ({ source, text: source }),
  ),
  fc
    .constantFrom("2 * 3", "a < b", "x_1", "$$x^2$$", "$x*y*z$", "\\(a_b_c\\)", "100 %", "(see)", "#1")
    .map((text) => ({ source: text, text })),
);

const LINE = fc.array(INLINE, { minLength: 1, maxLength: 5 }).map((pieces) => ({
  source: `w ${pieces.map(({ source }) => source).join(" ")}`,
  text: `w ${pieces.map(({ text }) => text).join(" ")}`,
}));

const CODE = fc.array(fc.stringMatching(/^[ a-z_*#<>&|\\-]{0,12}$/), { minLength: 1, maxLength: 4 });

const BLOCK: fc.Arbitrary<Piece> = fc.oneof(
  LINE,
  LINE.map(({ source, text }) => ({ source: `## ${source}`, text })),
  LINE.map(({ source, text }) => ({ source: `> ${source}`, text })),
  fc.array(LINE, { minLength: 1, maxLength: 3 }).map((lines) => ({
    source: lines.map(({ source }) => `- ${source}`).join("\n"),
    text: lines.map(({ text }) => text).join(""),
  })),
  CODE.map((lines) => ({ source: `~~~js\n${lines.join("\n")}\n~~~`, text: lines.join("\n") })),
  CODE.map((lines) => ({ source: `\`\`\`\n${lines.join("\n")}\n\`\`\``, text: lines.join("\n") })),
  fc.array(LINE, { minLength: 1, maxLength: 3 }).map((lines) => ({
    source: `| ${lines.map(({ source }) => source).join(" | ")} |\n|${" --- |".repeat(lines.length)}`,
    text: lines.map(({ text }) => text).join(""),
  })),
);

/** Blocks with blank lines between them. A comment that is none keeps a list from going on in the next block. */
const ANSWER = fc.array(BLOCK, { minLength: 1, maxLength: 6 }).map((blocks) => ({
  source: blocks.map(({ source }) => source).join("\n\nw\n\n"),
  text: blocks.map(({ text }) => text).join("w"),
}));

/** The positions at which a text is split. */
const CUTS = fc.array(fc.nat({ max: 400 }), { maxLength: 12 });

function cut(source: string, cuts: readonly number[]): string[] {
  const ends = [0, ...cuts.filter((end) => end < source.length).sort((a, b) => a - b), source.length];
  return ends.slice(1).map((end, index) => source.slice(ends[index], end));
}

test("what is shown is the source without its marks", () => {
  fc.assert(
    fc.property(ANSWER, ({ source, text }) => {
      const root = shown(source);
      for (const destination of root.querySelectorAll(".destination")) destination.remove();
      expect(root.textContent).toBe(text);
    }),
    { numRuns: 500 },
  );
});

test("it is the same however it comes, and at the end of each part nothing is lost", () => {
  fc.assert(
    fc.property(ANSWER, CUTS, ({ source }, cuts) => {
      expect(shown(...cut(source, cuts)).innerHTML).toBe(shown(source).innerHTML);
    }),
    { numRuns: 200 },
  );
});

test("what has come so far is shown as if it were all", () => {
  fc.assert(
    fc.property(ANSWER, fc.nat({ max: 300 }), ({ source }, length) => {
      const root = document.createElement("div");
      const stream = new MarkdownStream(root);
      for (const character of source.slice(0, length)) stream.write(character);
      vi.runAllTimers();
      expect(root.innerHTML).toBe(shown(source.slice(0, length)).innerHTML);
    }),
    { numRuns: 200 },
  );
});

test.each([
  ["a thousand quotes", "> ".repeat(1000)],
  ["a thousand lists", `${"* ".repeat(1000)}x`],
  ["marks that never end", "**".repeat(20_000) + "_`~[".repeat(5000)],
  ["a long line", "word ".repeat(100_000)],
  ["brackets", "[".repeat(50_000)],
])("%s do not hold up the page", (_name, source) => {
  vi.useRealTimers();
  const root = document.createElement("div");
  const stream = new MarkdownStream(root);
  stream.write(source);
  stream.end();
  expect(root.textContent.length).toBeGreaterThan(source.trim().length / 3);
});
