/** Conversations when the GPU is lost or does not respond, and prompts that would never end. */

import { describe, expect, test } from "vitest";
import { controlTokens, openChat } from "../../src/chat/model.ts";
import type { DecodeOptions } from "../../src/engine/interface.ts";
import { BundleError, ContextError, DeviceError, LostError } from "../../src/errors.ts";
import { ChatTemplate } from "../../src/input/chat-template.ts";
import { Tokenizer } from "../../src/input/tokenizer.ts";
import type { ChatEvent } from "../../src/messages.ts";
import { NotingEngine, tokenizer } from "./tiny.ts";

const WORDS = tokenizer.encode("I see a red circle");

/** Answers WORDS, and then throws an error. */
class FailingEngine extends NotingEngine {
  constructor(
    readonly said: number,
    readonly error: Error,
  ) {
    super();
  }

  override async *decode(_: number, options: DecodeOptions = {}): AsyncGenerator<number, void, void> {
    for (const id of WORDS.slice(0, this.said)) yield id;
    this.stalled?.(20);
    if (options.signal) throw this.error;
  }
}

async function begin(engine: NotingEngine) {
  const chat = await openChat(engine, () => Promise.reject(new Error("no media")));
  const session = chat.open({});
  const events: ChatEvent[] = [];
  const send = (content: string) =>
    session.send({ content }, { signal: new AbortController().signal, emit: (event) => events.push(event) });
  return { session, events, send };
}

describe("the GPU is lost", () => {
  const lost = new LostError("The browser took the GPU away (x). Load the model again.");

  test("in the middle of an answer: the text so far stays", async () => {
    const { session, send } = await begin(new FailingEngine(WORDS.length, lost));
    const result = await send("What do you see?");
    expect(result).toMatchObject({ finish: "lost", text: "I see a red circle" });
    expect(session.messages).toEqual([
      { role: "user", content: "What do you see?" },
      { role: "assistant", content: "I see a red circle" },
    ]);
  });

  test("before the first word: the question has no answer", async () => {
    const { session, send } = await begin(new FailingEngine(0, lost));
    await expect(send("What do you see?")).rejects.toBe(lost);
    expect(session.messages).toEqual([]);
  });

  test("and no other error of the GPU counts as that", async () => {
    const refused = new DeviceError("The GPU refused decode.");
    await expect((await begin(new FailingEngine(3, refused))).send("Hi")).rejects.toBe(refused);
  });
});

test("a GPU that does not respond is reported", async () => {
  const engine = new FailingEngine(1, new LostError("x"));
  const { events, send } = await begin(engine);
  await send("Hi");
  expect(events).toContainEqual({ type: "stall", seconds: 20 });
  expect(engine.stalled).toBeUndefined();
});

test("a text that no context could hold is rejected before it is split into tokens", async () => {
  const { session, send } = await begin(new NotingEngine());
  const sending = send("word ".repeat(1_000_000));
  await expect(sending).rejects.toBeInstanceOf(ContextError);
  await expect(sending).rejects.toThrow(/longer than the context can hold: chat_template\.jinja was stopped/);
  expect(session.messages).toEqual([]);
});

describe("a template is stopped", () => {
  const render = (source: string) =>
    new ChatTemplate(source, {}).render([], { thinking: false, addGenerationPrompt: true, most: 100_000 });

  test.each<[string, string, RegExp]>([
    ["that writes without end", "{% for i in range(99999) %}{{ 'word ' * 100 }}{% endfor %}", /more than 100000/],
    [
      "that doubles a text",
      "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
      /text of more/,
    ],
    [
      "that joins by ~",
      "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      /text of more/,
    ],
    [
      "that doubles a list",
      "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
      /lists? of more/,
    ],
    [
      "that prints a list of itself",
      "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
      /more than/,
    ],
    [
      "that sorts long lists for ever",
      "{% for a in range(99999) %}{{ range(99999) | sort | length }}{% endfor %}",
      /texts and lists/,
    ],
    [
      "that keeps many texts",
      "{% set n = namespace(x=[]) %}{% for i in range(999) %}{% set n.x = n.x + [('x' * 9999999) ~ i] %}{% endfor %}",
      /texts and lists/,
    ],
    ["that indents by a lot", "{{ [1, [2]] | tojson(indent=99999999) }}", /text of more/],
    [
      "that loops for ever",
      "{% for a in range(9999) %}{% for b in range(9999) %}{% set c = 1 %}{% endfor %}{% endfor %}",
      /steps|lists/,
    ],
  ])("%s", (_, source, message) => {
    expect(() => render(source)).toThrow(message);
  });

  test.each(["(", "[", "{{ '", "{% if x %}", "{% for a in b %}"])("that is nested deep in %s", (mark) => {
    const source = mark.startsWith("{%") ? mark.repeat(100_000) : `{{ ${mark.repeat(100_000)} }}`;
    expect(() => render(source)).toThrow();
  });

  test("with few rows in a batch", () => {
    expect(render("{{ [1, 2] | batch(0) | list }}{{ [1, 2] | batch(-3) | list }}")).toBe("[[], [1, 2]][[1, 2]]");
  });
});

describe("a tokenizer is stopped", () => {
  const BASE = { model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: [], unk_token: "a" }, added_tokens: [] };
  const LONG = "x".repeat(1 << 20);

  test.each<[string, object]>([
    ["that puts a lot before a text", { normalizer: { type: "Prepend", prepend: LONG } }],
    [
      "that replaces a letter by a long text",
      { normalizer: { type: "Replace", pattern: { String: "a" }, content: LONG } },
    ],
    ["that puts a lot between letters", { normalizer: { type: "Replace", pattern: { Regex: "" }, content: LONG } }],
    ["that puts a lot in place of a space", { pre_tokenizer: { type: "Metaspace", replacement: LONG } }],
  ])("%s", (_, change) => {
    const hostile = new Tokenizer({ ...BASE, ...change });
    hostile.most = 10_000;
    expect(() => hostile.encodePieces([{ text: "a b a b", asText: false }])).toThrow(BundleError);
    expect(() => hostile.encodePieces([{ text: "a b a b", asText: false }])).toThrow(
      /^tokenizer\.json cannot be used: Error: it makes a text of more than 10000 characters/,
    );
  });

  test("whose tokens are decoded to a lot", () => {
    const decoder = { type: "Replace", pattern: { String: "a" }, content: LONG };
    expect(() => new Tokenizer({ ...BASE, decoder }).piece(0)).toThrow(/more than 4096 characters/);
  });

  const added = (contents: readonly string[], special: boolean) =>
    contents.map((content) => ({ content, special, normalized: false }));
  const long = (count: number) => Array.from({ length: count }, (_, number) => `<${`${number}`.padStart(98, "0")}>`);

  test("that has more control tokens than can be looked for", () => {
    const many = new Tokenizer({ ...BASE, added_tokens: added(long(1400), true) });
    const template = new ChatTemplate("{{ messages }}", {});
    expect(() => controlTokens(many, template)).toThrow(BundleError);
    expect(() => controlTokens(many, template)).toThrow(
      /1,400 control tokens of 140,000 characters, but at most 131,072/,
    );
  });

  test("by none of very many added tokens, of which the longest counts", () => {
    const [first, ...rest] = long(60_000) as [string, ...string[]];
    const longest = { content: `${first}!`, special: false, normalized: false };
    const many = new Tokenizer({ ...BASE, added_tokens: [...added([first, ...rest, "<"], false), longest] });
    const ids = many.encode(`a${longest.content}<${rest.at(-1)}`);
    expect(ids.map((id) => many.piece(id))).toEqual(
      ["a", longest.content, "<", rest.at(-1)].map((text) => ({ kind: "text", text })),
    );
  });

  test("that strips nothing for ever", () => {
    const decoder = { type: "Strip", content: "", start: 1e300, stop: 1e300 };
    expect(new Tokenizer({ ...BASE, decoder }).piece(0)).toEqual({ kind: "text", text: "a" });
  });
});
