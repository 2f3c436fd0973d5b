/** Tokenizer, chat template and detokenizer against transformers (tests/input/token_fixture.py). */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { ChatTemplate, type TemplateMessage } from "../../src/input/chat-template.ts";
import { Detokenizer } from "../../src/input/detokenizer.ts";
import { Tokenizer } from "../../src/input/tokenizer.ts";

const repository = resolve(import.meta.dirname, "../../..");
const read = (path: string) => readFileSync(resolve(repository, path), "utf8");
const json = (path: string) => JSON.parse(read(path));

interface Conversation {
  name: string;
  messages: TemplateMessage[];
  tools: unknown[] | null;
  enable_thinking: boolean;
  add_generation_prompt: boolean;
  rendered: string;
}

const fixture: {
  texts: { text: string; ids: number[]; decoded: string }[];
  conversations: { name: string; ids: number[] }[];
} = json("tests/fixtures/tokens.json");
const conversations: Conversation[] = json("tests/models/conversations.json");

const config = json("models/tiny/tokenizer_config.json");
const tokenizer = new Tokenizer(json("models/tiny/tokenizer.json"));
const template = new ChatTemplate(read("models/tiny/chat_template.jinja"), config);

function stream(ids: number[]): string[] {
  const detokenizer = new Detokenizer(tokenizer);
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.end()];
}

describe("tokenizer", () => {
  it.each(fixture.texts)("gives $text the ids of transformers", ({ text, ids }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
  });

  it("names the token that a vocabulary lacks", () => {
    expect(() => tokenizer.id("<|no such token|>")).toThrow(/<\|no such token\|>/);
  });
});

describe("chat template", () => {
  it.each(conversations)("renders: $name", (conversation) => {
    const { messages, tools, enable_thinking: thinking, add_generation_prompt: addGenerationPrompt } = conversation;
    expect(template.render(messages, { thinking, addGenerationPrompt, tools })).toBe(conversation.rendered);
  });

  it.each(conversations)("has transformers' ids: $name", ({ name, rendered }) => {
    const expected = fixture.conversations.find((conversation) => conversation.name === name);
    expect(tokenizer.encode(rendered)).toEqual(expected?.ids);
  });
});

describe("detokenizer", () => {
  it.each(fixture.texts)("streams $text as transformers decodes it", ({ ids, decoded }) => {
    expect(stream(ids).join("")).toBe(decoded);
  });

  it("never gives out half a character", () => {
    for (const { ids } of fixture.texts) {
      for (const part of stream(ids)) expect(part).not.toMatch(/[\p{Surrogate}\ufffd]/u);
    }
  });

  it("marks bytes that are no character, and goes on", () => {
    const [byte] = tokenizer.encode("é".normalize("NFC")).filter((id) => tokenizer.piece(id).kind === "byte");
    const letter = tokenizer.encode("a");
    expect(stream([byte ?? -1, ...letter, byte ?? -1])).toEqual(["", "\ufffda", "", "\ufffd"]);
  });
});
