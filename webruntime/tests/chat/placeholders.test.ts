/** Expanded placeholders. tests/chat/test_media.py compares the same texts with transformers' processor. */

import { describe, expect, test } from "vitest";
import { keysOf, Placeholders } from "../../src/chat/placeholders.ts";
import { BundleError, UsageError } from "../../src/errors.ts";
import { item, medium, tokenizer, tokenizerConfig } from "./tiny.ts";

const placeholders = new Placeholders(tokenizerConfig, tokenizer);
const image = (tokens: number, key = "a") => medium("image", [item("image", tokens, key)]);
const audio = (...tokens: number[]) =>
  medium(
    "audio",
    tokens.map((count, index) => item("audio", count, `s${index}`)),
  );

const imageText = (tokens: number) => `<|image>${"<|image|>".repeat(tokens)}<image|>`;
const audioText = (tokens: number) => `<|audio>${"<|audio|>".repeat(tokens)}<audio|>`;
const frameText = (tokens: number) => `<|image>${"<|video|>".repeat(tokens)}<image|>`;

describe("placeholders become", () => {
  test("images, audio and videos with their times", () => {
    const video = medium("video", [item("image", 4), item("image", 4)], ["00:00", "01:05"]);
    const text = "See <|image|>, hear <|audio|> and watch <|video|>.";
    const expected = `See ${imageText(6)}, hear ${audioText(3)} and watch 00:00 ${frameText(4)} 01:05 ${frameText(4)}.`;
    expect(placeholders.expand(text, [image(6), audio(3), video])).toBe(expected);
  });

  test("several segments where audio is longer than the model hears at once", () => {
    expect(placeholders.expand("<|audio|>", [audio(3, 2)])).toBe(audioText(3) + audioText(2));
  });

  test("frames, then the video's audio", () => {
    const video = medium("video", [item("image", 2), item("audio", 3)], ["00:01"]);
    expect(placeholders.expand("<|video|>", [video])).toBe(`00:01 ${frameText(2)}${audioText(3)}`);
  });
});

test("tokens of media are found in any order", () => {
  const media = [image(3), audio(2, 1), image(2)];
  const prompt = placeholders.prompt("a <|image|> b <|audio|><|image|> c", media);
  expect(prompt.items.map(({ item }) => item)).toEqual(media.flatMap(({ items }) => items));
  const names = { image: "<|image|>", audio: "<|audio|>" };
  for (const { item, position } of prompt.items) {
    const ids = prompt.ids.slice(position, position + item.tokens);
    expect(new Set(ids)).toEqual(new Set([tokenizer.id(names[item.tower])]));
    expect(prompt.ids[position - 1]).toBe(tokenizer.id(item.tower === "image" ? "<|image>" : "<|audio>"));
  }
});

test("equal tokens of different media have different keys", () => {
  const one = placeholders.prompt("<|image|>!", [image(2, "cat")]);
  const other = placeholders.prompt("<|image|>!", [image(2, "dog")]);
  expect(one.ids).toEqual(other.ids);
  expect(keysOf(one).slice(1, 3)).toEqual(["cat", "cat"]);
  expect(keysOf(other).slice(1, 3)).toEqual(["dog", "dog"]);
  expect(keysOf(one)[0]).toBe(one.ids[0]);
});

test.each([
  ["What does <|image|> mean?", [], /placeholders image, but its media are none\. .*leave <\|image\|>, <\|audio\|>/],
  ["<|image|>", [image(1), image(1)], /placeholders image, but its media are image, image/],
  ["<|audio|><|image|>", [image(1), audio(1)], /placeholders audio, image, but its media are image, audio/],
])("text with its own placeholders is rejected: %s", (text, media, message) => {
  expect(() => placeholders.expand(text, media)).toThrow(UsageError);
  expect(() => placeholders.expand(text, media)).toThrow(message);
});

test("a tokenizer without the tokens that media need is a damaged bundle", () => {
  const { boi_token, ...rest } = tokenizerConfig;
  const lacking = new Placeholders(rest, tokenizer);
  expect(lacking.expand("no media", [])).toBe("no media");
  expect(() => lacking.expand("<|image|>", [image(1)])).toThrow(BundleError);
  expect(() => lacking.expand("<|image|>", [image(1)])).toThrow(/names no boi_token/);
});

test("a placeholder that is longer than a token is rejected", () => {
  const long = new Placeholders({ ...tokenizerConfig, image_token: "x".repeat(200_000) }, tokenizer);
  expect(() => long.tokens).toThrow(BundleError);
  expect(() => long.expand("a", [])).toThrow("image_token has 200000 characters; expected at most 1000");
});
