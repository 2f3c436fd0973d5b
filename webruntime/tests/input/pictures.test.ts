/** What can be told of pictures and clips without a browser's decoders; playwright_tests/media has the rest. */

import { describe, expect, it } from "vitest";
import { BundleError, UsageError } from "../../src/engine/errors.ts";
import { readHeader } from "../../src/input/image/header.ts";
import { imageInputs } from "../../src/input/image/inputs.ts";
import { hideWebpOrientation, turn } from "../../src/input/image/orientation.ts";
import { readRules, targetSize, withBudget } from "../../src/input/image/rules.ts";
import { sample, stamp } from "../../src/input/video/decode.ts";
import { isWholeClip } from "../../src/input/video/whole.ts";
import { toRgb } from "../../src/input/video/yuv.ts";

const RULES = { patch: 16, pooling: 3, maxSoftTokens: 280, merged: false };
const PROCESSOR = { image_processor: {}, video_processor: { max_soft_tokens: 140, num_frames: 8 } };

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

describe("rules", () => {
  it("have transformers' defaults where processor_config.json says nothing", () => {
    expect(readRules(PROCESSOR)).toEqual({
      image: RULES,
      video: { image: { ...RULES, maxSoftTokens: 140 }, frames: 8 },
    });
  });

  it("know models without a tower by their processor", () => {
    const unified = { image_processor_type: "Gemma4UnifiedImageProcessor" };
    expect(readRules({ ...PROCESSOR, image_processor: unified }).image.merged).toBe(true);
  });

  it.each([
    ["resample", 2],
    ["image_mean", [0.5, 0.5, 0.5]],
    ["max_soft_tokens", 100],
  ])("refuse another %s by name", (name, value) => {
    const read = () => readRules({ ...PROCESSOR, image_processor: { [name]: value } });
    expect(read).toThrow(BundleError);
    expect(read).toThrow(name);
  });

  it("refuse a model whose processor was not saved", () => {
    expect(() => readRules({})).toThrow("has no image_processor");
  });

  it("take one of five budgets", () => {
    expect(withBudget(RULES, 1120).maxSoftTokens).toBe(1120);
    expect(() => withBudget(RULES, 100)).toThrow(UsageError);
  });
});

describe("the target size", () => {
  it.each([
    [
      { width: 333, height: 217 },
      { width: 960, height: 624 },
    ],
    [
      { width: 1, height: 1 },
      { width: 768, height: 768 },
    ],
    [
      { width: 900, height: 1 },
      { width: 280 * 48, height: 48 },
    ],
    [
      { width: 1, height: 900 },
      { width: 48, height: 280 * 48 },
    ],
  ])("of %o is %o", (size, target) => {
    expect(targetSize(size, RULES)).toEqual(target);
  });
});

describe("inputs", () => {
  const image = { width: 2, height: 1, data: Uint8Array.of(0, 51, 102, 0, 51, 102) };

  it("are patches by rows with their x and y", () => {
    const inputs = imageInputs(image, { ...RULES, maxSoftTokens: 70 });
    expect([inputs.width, inputs.height, inputs.softTokens]).toEqual([528, 240, 55]);
    expect(inputs.patches.length).toBe(528 * 240 * 3);
    expect([...inputs.positions.slice(0, 4)]).toEqual([0, 0, 1, 0]);
    expect([...inputs.positions.slice(-2)]).toEqual([32, 14]);
    expect([...inputs.patches.slice(-3)]).toEqual([0, 51, 102].map((byte) => Math.fround(byte * Math.fround(1 / 255))));
  });

  it("are whole soft tokens where the model has no tower", () => {
    const inputs = imageInputs(image, { ...RULES, maxSoftTokens: 70, merged: true });
    expect(inputs.positions.length).toBe(2 * 55);
    expect([...inputs.positions.slice(-2)]).toEqual([10, 4]);
  });
});

describe("headers", () => {
  it.each([
    ["image/png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\x02\0\0\x03\x04", 258, 772],
    ["image/jpeg", "\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x11\x08\x01\x02\x03\x04", 772, 258],
    ["image/gif", "GIF89a\x02\x01\x04\x03", 258, 772],
    ["image/bmp", `BM${"\0".repeat(12)}\x28\0\0\0\x02\x01\0\0\xfc\xfc\xff\xff`, 258, 772],
    ["image/webp", `RIFF....WEBPVP8X${"\0".repeat(8)}\x01\x01\0\x03\x03\0`, 258, 772],
    ["image/avif", `\0\0\0\x1cftypavif${"\0".repeat(9)}ispe\0\0\0\0\0\0\x01\x02\0\0\x03\x04`, 258, 772],
  ])("of %s tell the size", (type, content, width, height) => {
    expect(readHeader(bytes(content))).toEqual({ type, width, height });
  });

  it("end too early or are none", () => {
    expect(readHeader(bytes("\xff\xd8\xff\xe0\0\x04"))).toBeUndefined();
    expect(readHeader(bytes("\x89PNG\r\n\x1a\n"))).toBeUndefined();
    expect(readHeader(bytes("A shopping list."))).toBeUndefined();
  });
});

describe("orientation", () => {
  const image = { width: 3, height: 2, data: Uint8Array.from("abcdef", (letter) => letter.charCodeAt(0)) };
  const thrice = { ...image, data: Uint8Array.from([...image.data].flatMap((value) => [value, value, value])) };

  it.each([
    [1, "abc def"],
    [2, "cba fed"],
    [3, "fed cba"],
    [4, "def abc"],
    [5, "ad be cf"],
    [6, "da eb fc"],
    [7, "fc eb da"],
    [8, "cf be ad"],
  ])("%i makes it %s", (orientation, rows) => {
    const { width, height, data } = turn(thrice, orientation);
    const letters = String.fromCharCode(...data.filter((_, index) => index % 3 === 0));
    expect(Array.from({ length: height }, (_, y) => letters.slice(y * width, (y + 1) * width)).join(" ")).toBe(rows);
  });

  it("of a WebP is hidden from decoders that heed it", () => {
    const tiff = "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
    const file = bytes(`RIFF....WEBPEXIF${String.fromCharCode(tiff.length)}\0\0\0${tiff}`);
    expect(hideWebpOrientation(file)).toBe(6);
    expect(String.fromCharCode(...file.slice(12, 16))).toBe("none");
    expect(hideWebpOrientation(file)).toBe(1);
  });
});

describe("clips", () => {
  it("are sampled in equal steps, or whole", () => {
    expect(sample(100, 8)).toEqual([0, 12, 25, 37, 50, 62, 75, 87]);
    expect(sample(3, 8)).toEqual([0, 1, 2]);
  });

  it("have stamps in minutes and seconds", () => {
    expect([0.999, 59.99, 60, 3662.5].map(stamp)).toEqual(["00:00", "00:59", "01:00", "61:02"]);
  });

  it.each([
    ["an MP4", "\0\0\0\x0cftypisom\0\0\0\x0amdat..", true],
    ["an MP4 that is cut off", "\0\0\0\x0cftypisom\0\0\0\x0bmdat..", false],
    ["an MP4 whose last box goes to the end", "\0\0\0\x0cftypisom\0\0\0\0mdat..", true],
    ["a WebM", "\x1a\x45\xdf\xa3\x81.\x18\x53\x80\x67\x82..", true],
    ["a WebM that is cut off", "\x1a\x45\xdf\xa3\x81.\x18\x53\x80\x67\x40\x03..", false],
    ["a WebM of unknown length", "\x1a\x45\xdf\xa3\x81.\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff..", true],
    ["another file", "A shopping list.", true],
  ])("%s is whole or not: %#", async (_, content, whole) => {
    expect(await isWholeClip(new Blob([bytes(content)]))).toBe(whole);
  });
});

describe("colours of clips", () => {
  const plane = (value: number) => ({ bytes: Uint8Array.of(value), offset: 0, stride: 1, step: 1 });
  const rgb = (y: number, u: number, v: number, matrix: string, fullRange: boolean) => {
    const planes = { width: 1, height: 1, luma: plane(y), blue: plane(u), red: plane(v) };
    return [...toRgb(planes, { matrix, fullRange }).data];
  };

  it("have limited or full range", () => {
    expect(rgb(16, 128, 128, "smpte170m", false)).toEqual([0, 0, 0]);
    expect(rgb(16, 128, 128, "smpte170m", true)).toEqual([16, 16, 16]);
  });

  it("are those of their matrix, a step too dark as FFmpeg makes them", () => {
    expect(rgb(81, 90, 240, "smpte170m", false)).toEqual([253, 0, 0]);
    expect(rgb(63, 102, 240, "bt709", false)).toEqual([254, 0, 0]);
  });
});
