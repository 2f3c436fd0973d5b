/** Properties of media before decoding, and media that need no browser's decoder: samples. */

import { describe, expect, test } from "vitest";
import { MediaError, UsageError } from "../../src/errors.ts";
import { MediaReader } from "../../src/input/media-reader.ts";
import type { Item } from "../../src/input/medium.ts";
import type { AudioPart, ImagePart } from "../../src/messages.ts";
import { processor } from "../chat/tiny.ts";

const reader = new MediaReader(processor, true);
const read = (part: AudioPart | ImagePart, from = reader) => from.read(part, undefined);

/** The beginning of a PNG file, which states its size. */
function png(width: number, height: number, more = ""): Blob {
  const header = new Uint8Array(24);
  header.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const view = new DataView(header.buffer);
  view.setUint32(16, width);
  view.setUint32(20, height);
  return new Blob([header, more]);
}

function tone(seconds: number, rate = 16_000): { samples: Float32Array; rate: number } {
  const samples = Float32Array.from({ length: seconds * rate }, (_, i) => Math.sin((2 * Math.PI * 440 * i) / rate) / 4);
  return { samples, rate };
}

const [MINUTE, SECOND] = [60, 1];
const only = (items: readonly Item[]) => items[0] as Item;

describe("an image", () => {
  test.each([
    [1000, 1000, undefined, 64],
    [1000, 1000, 280, 256],
    [1920, 1080, 1120, 1100],
    [8000, 10, 70, 70],
  ] as const)(
    "of %d × %d with a detail of %j takes %d tokens, known by its header",
    async (width, height, detail, tokens) => {
      const { kind, items, stamps } = await read({ type: "image", image: png(width, height), detail });
      expect({ kind, stamps, tokens: items.map((item) => item.tokens) }).toEqual({
        kind: "image",
        stamps: [],
        tokens: [tokens],
      });
    },
  );

  test("has a key of its content and settings", async () => {
    const keyOf = async (image: Blob, detail?: 70 | 280) =>
      only((await read({ type: "image", image, detail })).items).key;
    const key = await keyOf(png(9, 9));
    expect(await keyOf(png(9, 9))).toBe(key);
    expect(await keyOf(png(9, 9), 70)).toBe(key);
    expect(await keyOf(png(9, 9), 280)).not.toBe(key);
    expect(await keyOf(png(9, 9, "!"))).not.toBe(key);
  });

  test("with too many pixels is rejected by its header", async () => {
    await expect(read({ type: "image", image: png(20_000, 20_000) })).rejects.toThrow(MediaError);
    const bomb = new File([png(20_000, 20_000)], "bomb.png");
    await expect(read({ type: "image", image: bomb })).rejects.toThrow(/bomb\.png has too many pixels: 20000 × 20000/);
  });

  test.each([
    ["empty", new File([], "empty.png"), /empty\.png is empty/],
    ["another kind", new File(["hello"], "text.png"), /text\.png cannot be read as an image/],
    ["cut off in its header", new File([png(9, 9).slice(0, 12)], "short.png"), /short\.png cannot be read/],
    ["without pixels", new File([png(0, 9)], "none.png"), /none\.png is damaged or incomplete, or a kind of PNG/],
  ])("that is %s is rejected", async (_, image, message) => {
    await expect(read({ type: "image", image })).rejects.toThrow(message);
    await expect(read({ type: "image", image })).rejects.toThrow(MediaError);
  });

  test("must be a Blob, and its detail one of the budgets", async () => {
    const address = "cat.png" as unknown as Blob;
    await expect(read({ type: "image", image: address })).rejects.toThrow(/"image" needs a Blob/);
    const detail = 100 as 70;
    await expect(read({ type: "image", image: png(9, 9), detail })).rejects.toThrow(UsageError);
  });
});

describe("audio", () => {
  test("is counted, and comes out as rows of a spectrogram", async () => {
    const { items } = await read({ type: "audio", audio: tone(2 * SECOND) });
    expect(items.map(({ tower, tokens }) => [tower, tokens])).toEqual([["audio", 50]]);
    const { arrays, rows } = await only(items).inputs(undefined);
    expect(rows).toBe(199);
    expect(arrays.input_features?.length).toBe(199 * 128);
  });

  test("of another rate is converted to the model's rate", async () => {
    const { items } = await read({ type: "audio", audio: tone(2 * SECOND, 44_100) });
    expect(only(items).tokens).toBe(50);
  });

  test("longer than the model takes at once is split into segments, or rejected", async () => {
    const audio = tone(1.25 * MINUTE);
    const { items } = await read({ type: "audio", audio });
    expect(items.map(({ tokens }) => tokens)).toEqual([750, 750, 375]);
    expect(new Set(items.map(({ key }) => key)).size).toBe(3);
    await expect(read({ type: "audio", audio, long: "refuse" })).rejects.toThrow(MediaError);
    await expect(read({ type: "audio", audio, long: "refuse" })).rejects.toThrow(
      /75\.0 seconds; the model hears 30 at/,
    );
  });

  test("is the same again after a release", async () => {
    const { items, release } = await read({ type: "audio", audio: tone(SECOND) });
    const before = await only(items).inputs(undefined);
    release();
    expect(await only(items).inputs(undefined)).toEqual(before);
  });

  test("has a key of its samples and rate", async () => {
    const keyOf = async (audio: AudioPart["audio"]) => only((await read({ type: "audio", audio })).items).key;
    const key = await keyOf(tone(SECOND));
    expect(await keyOf(tone(SECOND))).toBe(key);
    expect(await keyOf({ ...tone(SECOND), rate: 8_000 })).not.toBe(key);
  });

  test("for a model without a tower comes out as raw samples", async () => {
    const unified = {
      ...processor,
      feature_extractor: { feature_extractor_type: "Gemma4UnifiedAudioFeatureExtractor" },
    };
    const { items } = await read({ type: "audio", audio: tone(SECOND) }, new MediaReader(unified, true));
    expect(only(items).tokens).toBe(25);
    const { arrays, rows } = await only(items).inputs(undefined);
    expect([rows, arrays.input_features?.length]).toEqual([25, 25 * 640]);
  });

  test.each([
    ["no numbers", { samples: new Float32Array(16_000).fill(Number.NaN), rate: 16_000 }, MediaError, /not numbers/],
    ["too short", { samples: new Float32Array(10), rate: 16_000 }, MediaError, /too short: 0\.6 ms/],
    ["of an unlikely rate", { samples: new Float32Array(10), rate: 1 }, UsageError, /8000 to 192000 .* a rate of 1/],
    ["of an odd rate", { samples: new Float32Array(10), rate: 44_100.5 }, UsageError, /whole number/],
    ["not samples", [1, 2, 3] as never, UsageError, /needs a Blob, or/],
    ["nothing", undefined as never, UsageError, /needs a Blob, or/],
  ])("that is %s is rejected", async (_, audio, type, message) => {
    await expect(read({ type: "audio", audio })).rejects.toThrow(type);
    await expect(read({ type: "audio", audio })).rejects.toThrow(message);
  });
});

test("a video whose frames would take too much memory is rejected before it is decoded", async () => {
  const video = reader.read({ type: "video", video: new Blob(["video"]), frames: 2000 }, undefined);
  await expect(video).rejects.toThrow(/2000 frames of up to 70 tokens take too much memory/);
});
