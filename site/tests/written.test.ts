// @vitest-environment happy-dom
/** Foreign text cannot change the page's own text, and a link cannot pass for another. */

import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { destination } from "../chat/markdown/destination.ts";
import { loadParser, MarkdownStream } from "../chat/markdown/stream.ts";
import { AnswerView, Transcript } from "../chat/transcript.ts";
import { balanced, plain, plainAmongWords } from "../chat/written.ts";

beforeAll(loadParser);
beforeAll(() => {
  // happy-dom has no ::part().
  Object.defineProperty(Element.prototype, "part", { configurable: true, get: () => ({ value: "" }) });
});
beforeEach(() => {
  vi.useFakeTimers();
});

function shown(text: string): HTMLElement {
  const root = document.createElement("div");
  const stream = new MarkdownStream(root);
  stream.write(text);
  vi.runAllTimers();
  stream.end();
  return root;
}

test.each([
  ["an override that goes on", "a\u202ebc", "a\u202ebc\u202c"],
  ["an isolate that goes on", "\u2067\u202ax", "\u2067\u202ax\u202c\u2069"],
  ["an end of nothing", "a\u2069b\u202cc", "abc"],
  ["an end of what is outside, then an override", "\u2069\u202egpj", "\u202egpj\u202c"],
  ["an end that ends two", "\u2066\u202ex\u2069\u202cy", "\u2066\u202ex\u2069y"],
  ["what is whole", "\u2067שלום\u2069 and \u200fmarks", "\u2067שלום\u2069 and \u200fmarks"],
])("%s is balanced", (_, text, expected) => {
  expect(balanced(text)).toBe(expected);
  expect(balanced(expected)).toBe(expected);
});

test("names and errors have signs for control characters", () => {
  expect(plain("gnp\u202e.exe\u2069\x1b[2J\r\x9b\ttab\n")).toBe("gnp\ufffd.exe\ufffd\ufffd[2J\ufffd\ufffd\ttab\n");
  expect(plainAmongWords("google/gemma-4")).toBe("google/gemma-4");
  expect(plainAmongWords("x".repeat(1_000_000))).toBe(`${"x".repeat(120)}…`);
  expect(plainAmongWords("מודל\u2069")).toBe("\u2068מודל\ufffd\u2069");
});

describe("a link's destination", () => {
  test.each([
    ["https://bank.com", "https://evil.example/x", "evil.example"],
    ["bank.com/login", "https://evil.example:8443/x", "evil.example:8443"],
    ["Go to www.bank.com now", "http://evil.example", "evil.example"],
    ["bank.com evil.example", "https://evil.example", "evil.example"],
    ["bank\u200b.com", "https://evil.example", "evil.example"],
    ["ｂａｎｋ．ｃｏｍ", "https://evil.example", "evil.example"],
    ["\u202emoc.knab//:sptth", "https://evil.example", "evil.example"],
    ["https://bank.com.evil.example", "https://evil.example", "evil.example"],
    ["https://bank.com@evil.example/", "https://bank.com@evil.example/", "evil.example"],
    ["https://аpple.com", "https://аpple.com", "xn--pple-43d.com"],
    ["https://localhost/", "https://evil.example", "evil.example"],
    ["192.168.0.1", "https://evil.example", "evil.example"],
    ["me@bank.com", "mailto:eve@evil.example?subject=x", "eve@evil.example"],
    ["bank.com", "mailto:eve@bank.com", "eve@bank.com"],
  ])("%s → %s", (words, address, shown) => {
    expect(destination(new URL(address), words)).toBe(shown);
  });

  test.each([
    ["here", "https://evil.example"],
    ["https://example.org/a.b/index.html?x=c.de", "https://example.org/a.b/index.html?x=c.de"],
    ["www.example.org", "http://www.example.org/"],
    ["Example.org", "https://www.example.org/about"],
    ["docs at example.org", "https://example.org/docs"],
    ["me@example.org", "mailto:me@example.org"],
    ["version 3.14 of it", "https://example.org"],
    ["e.g. this", "https://example.org"],
  ])("is not repeated: %s → %s", (words, address) => {
    expect(destination(new URL(address), words)).toBeUndefined();
  });

  test("stands after the words, whatever they consist of", () => {
    const [link] = shown("[**bank**.com](https://evil.example/)").querySelectorAll("a");
    expect(link?.textContent).toBe("bank.com (evil.example)");
    expect(link?.querySelector("bdi")?.textContent).toBe(" (evil.example)");
    const [plainLink] = shown("<https://example.org/x>").querySelectorAll("a");
    expect(plainLink?.textContent).toBe("https://example.org/x");
  });
});

test("an override in an answer ends with its words", () => {
  const root = shown("[x\u202ey](https://example.org) and `a\u202eb` **c\u202ed** e");
  expect(root.querySelector("a")?.textContent).toBe("x\u202ey\u202c");
  expect(root.querySelector("code")?.textContent).toBe("a\u202eb\u202c");
  expect(root.querySelector("strong")?.textContent).toBe("c\u202ed\u202c");
});

test("a call's name does not turn its arguments round", () => {
  const view = new AnswerView({ announce: () => undefined, grown: () => undefined });
  view.toolCall({ name: "\u202ex", arguments: "y" });
  expect(view.element.querySelector("code")?.textContent).toBe("\u202ex\u202c(y)");
});

test("a notice is plain", () => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe(): void {}
    },
  );
  const transcript = new Transcript();
  transcript.notice = "file \u202egnp.exe cannot be read";
  expect(transcript.log.textContent).toBe("file \ufffdgnp.exe cannot be read");
  vi.unstubAllGlobals();
});
