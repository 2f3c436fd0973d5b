import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { AnswerParser, type AnswerPart } from "../../src/chat/answer.ts";
import { Tokenizer } from "../../src/input/tokenizer.ts";

const tiny = resolve(import.meta.dirname, "../../../models/tiny");
const json = (file: string) => JSON.parse(readFileSync(resolve(tiny, file), "utf8"));
const tokenizer = new Tokenizer(json("tokenizer.json"));

/** Return the parts of an answer, with runs of the same kind joined. */
function parse(ids: number[]): AnswerPart[] {
  const parser = new AnswerParser(tokenizer);
  const joined: AnswerPart[] = [];
  for (const part of [...ids.flatMap((id) => parser.push(id)), ...parser.end()]) {
    const last = joined.at(-1);
    if (last && last.type === part.type && last.type !== "tool_call" && part.type !== "tool_call") {
      last.text += part.text;
    } else joined.push({ ...part });
  }
  return joined;
}

const parseText = (text: string) => parse(tokenizer.encode(text));

describe("an answer", () => {
  it("of words is text", () => {
    expect(parseText("Hello, 🎈!")).toEqual([{ type: "text", text: "Hello, 🎈!" }]);
  });

  it("with a thought has two parts", () => {
    expect(parseText("<|channel>thought\n2 + 2\nis 4\n<channel|>It is 4.")).toEqual([
      { type: "thought", text: "2 + 2\nis 4\n" },
      { type: "text", text: "It is 4." },
    ]);
  });

  it("stopped inside its thought has no text", () => {
    expect(parseText("<|channel>thought\nlet me")).toEqual([{ type: "thought", text: "let me" }]);
  });

  it("of an unknown channel is text", () => {
    expect(parseText("<|channel>final\nYes<channel|>")).toEqual([{ type: "text", text: "Yes" }]);
  });

  it("stopped inside a channel's name has no parts", () => {
    expect(parseText("<|channel>thou")).toEqual([]);
  });

  it.each(["<|channel>Yes, I do.<channel|>", "<|channel>Yes, I do.", "<|channel>Yes, I do.<turn|>"])(
    "keeps the content of a channel without a name: %s",
    (written) => {
      expect(parseText(written)).toEqual([{ type: "text", text: "Yes, I do." }]);
    },
  );

  it.each(["<|channel>", "<|channel>thought", "<|channel> thought <channel|>", "<|channel><channel|>"])(
    "has no parts where a channel has only its name: %s",
    (written) => {
      expect(parseText(written)).toEqual([]);
    },
  );

  it("takes a call whose fences are spelled by ordinary tokens for text", () => {
    const fence = [...'<|"|>'].flatMap((letter) => tokenizer.encode(letter));
    const ids = [...tokenizer.encode("<|tool_call>call:f{a:"), ...fence, ...tokenizer.encode("}<tool_call|>")];
    expect(parse(ids)).toEqual([{ type: "text", text: 'call:f{a:<|"|>}' }]);
  });

  it("keeps the arguments of a call as written", () => {
    expect(parseText('<|tool_call>call:get{city:<|"|>São Paulo<|"|>,deep:{n:1}}<tool_call|>')).toEqual([
      { type: "tool_call", name: "get", arguments: 'city:<|"|>São Paulo<|"|>,deep:{n:1}' },
    ]);
  });

  it("has one part for each call", () => {
    const parts = parseText("<|tool_call>call:a{}<tool_call|><|tool_call>call:b{x:1}<tool_call|>done");
    expect(parts).toEqual([
      { type: "tool_call", name: "a", arguments: "" },
      { type: "tool_call", name: "b", arguments: "x:1" },
      { type: "text", text: "done" },
    ]);
  });

  it("shows a call that cannot be read as text", () => {
    expect(parseText("<|tool_call>get me the weather<tool_call|>")).toEqual([
      { type: "text", text: "get me the weather" },
    ]);
  });

  it("does not take ordinary tokens for marks", () => {
    const spelled = [..."<|channel>"].flatMap((letter) => tokenizer.encode(letter));
    expect(parse([...spelled, ...tokenizer.encode("x")])).toEqual([{ type: "text", text: "<|channel>x" }]);
  });

  it("keeps a character together that several ids spell", () => {
    const parser = new AnswerParser(tokenizer);
    const texts = tokenizer.encode("漢").map((id) => parser.push(id));
    expect([...texts.flat(), ...parser.end()]).toEqual([{ type: "text", text: "漢" }]);
  });
});
