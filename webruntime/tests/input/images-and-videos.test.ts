/** Images and videos without a browser's decoders. playwright_tests/media has the other tests. */

import { describe, expect, it } from "vitest";
import { BundleError, UsageError } from "../../src/errors.ts";
import { decodeGif } from "../../src/input/image/gif.ts";
import { readHeader } from "../../src/input/image/header.ts";
import { imageInputs } from "../../src/input/image/inputs.ts";
import { withoutMetadata } from "../../src/input/image/metadata.ts";
import { tiffOrientation, turn } from "../../src/input/image/orientation.ts";
import { transparentColour } from "../../src/input/image/png.ts";
import { readRules, targetSize, withBudget } from "../../src/input/image/rules.ts";
import { unreadFormat } from "../../src/input/image/unread.ts";
import { sample, stamp } from "../../src/input/video/decode.ts";
import { readEdits, shownFrames } from "../../src/input/video/edits.ts";
import { isWholeVideo } from "../../src/input/video/whole.ts";
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
  ])("reject another %s with an error that names it", (name, value) => {
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
    ["image/gif", "GIF89a\x02\x01\x04\x03\0\0\0,\0\0\0\0\x02\0\x02\0\0\x02", 258, 772],
    ["image/gif", "GIF89a\x02\0\x02\0\0\0\0,\x02\0\x04\0\0\x01\0\x03\0\x02", 258, 772],
    ["image/bmp", `BM${"\0".repeat(12)}\x28\0\0\0\x02\x01\0\0\xfc\xfc\xff\xff`, 258, 772],
    ["image/webp", `RIFF....WEBPVP8X${"\0".repeat(8)}\x01\x01\0\x03\x03\0`, 258, 772],
    ["image/avif", `\0\0\0\x10ftypavif${"\0".repeat(9)}ispe\0\0\0\0\0\0\x01\x02\0\0\x03\x04`, 258, 772],
    ["image/avif", `\0\0\0\x14ftypmif1\0\0\0\0avif\0ispe\0\0\0\0\0\0\x01\x02\0\0\x03\x04`, 258, 772],
  ])("of %s state the size", (type, content, width, height) => {
    expect(readHeader(bytes(content))).toEqual({ type, width, height });
  });

  it("end too early or are none", () => {
    expect(readHeader(bytes("\xff\xd8\xff\xe0\0\x04"))).toBeUndefined();
    expect(readHeader(bytes("\x89PNG\r\n\x1a\n"))).toBeUndefined();
    expect(readHeader(bytes("A shopping list."))).toBeUndefined();
    expect(readHeader(bytes("GIF89a\x02\0\x02\0\0\0\0;"))).toBeUndefined();
  });

  it.each([
    ["TIFF", "II*\0"],
    ["HEIC", "\0\0\0\x18ftypheic"],
    ["HEIF", "\0\0\0\x10ftypmif1\0\0\0\0heic"],
    ["ICO", "\0\0\x01\0\x01\0"],
  ])("of %s are recognized", (name, content) => {
    expect(readHeader(bytes(content))).toBeUndefined();
    expect(unreadFormat(bytes(content))).toBe(name);
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

  /** An EXIF block with one entry: the orientation, as a number of this type. */
  const exif = (orientation: number, type = 3) =>
    `II*\0\x08\0\0\0\x01\0\x12\x01${String.fromCharCode(type)}\0\x01\0\0\0${String.fromCharCode(orientation)}\0\0\0`;
  const xmp = (orientation: number) => `<x tiff:Orientation="${orientation}"/>`;
  const short = (text: string) => `\0${String.fromCharCode(text.length + 2)}${text}`;
  const long = (text: string) => `${String.fromCharCode(text.length)}\0\0\0${text}${text.length % 2 ? "\0" : ""}`;
  const chunk = (name: string, text: string) => `\0\0\0${String.fromCharCode(text.length)}${name}${text}.crc`;
  const bare = async (type: string, content: string) => {
    const { content: parts, orientation } = await withoutMetadata(bytes(content), type);
    return [orientation, new TextDecoder("latin1").decode(await new Blob(parts).arrayBuffer())];
  };

  it.each([
    ["3, a short", exif(6), 6],
    ["4, a long", exif(6, 4), 6],
    ["8, a signed short", exif(6, 8), 6],
    ["1, a byte", exif(6, 1), 1],
    ["2, a text", exif(6, 2), 1],
    ["of no known value", exif(9), 1],
    ["in a damaged block", "MM\0*", undefined],
  ])("in EXIF of type %s is %#", (_, block, orientation) => {
    expect(tiffOrientation(bytes(block))).toBe(orientation);
  });

  it("of a JPEG is taken out, and XMP counts where EXIF says nothing", async () => {
    const exifSegment = `\xff\xe1${short(`Exif\0\0${exif(6)}`)}`;
    const xmpSegment = `\xff\xe1${short(`http://ns.adobe.com/xap/1.0/\0${xmp(3)}`)}`;
    const rest = "\xff\xdb\0\x04qt\xff\xda\0\x02\xff\xe1pixels";
    expect(await bare("image/jpeg", `\xff\xd8${exifSegment}${xmpSegment}${rest}`)).toEqual([6, `\xff\xd8${rest}`]);
    expect(await bare("image/jpeg", `\xff\xd8${xmpSegment}${rest}`)).toEqual([3, `\xff\xd8${rest}`]);
  });

  it("of a PNG is taken out, and its animation", async () => {
    const head = `\x89PNG\r\n\x1a\n${chunk("IHDR", "..")}`;
    const end = `${chunk("IDAT", "pixels")}${chunk("IEND", "")}`;
    expect(await bare("image/png", `${head}${chunk("acTL", "2")}${chunk("eXIf", exif(8))}${end}`)).toEqual([
      8,
      `${head}${end}`,
    ]);
    const text = chunk("iTXt", `XML:com.adobe.xmp\0\0\0\0\0${xmp(5)}`);
    expect(await bare("image/png", `${head}${text}${end}`)).toEqual([5, `${head}${text}${end}`]);
    const hex = [...bytes(exif(7))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    expect(
      (await bare("image/png", `${head}${chunk("tEXt", `Raw profile type exif\0\nexif\n 26\n${hex}`)}${end}`))[0],
    ).toBe(7);
  });

  it("of a PNG is taken out, and a short palette made whole", async () => {
    const header = chunk("IHDR", `\0\0\0\x01\0\0\0\x01\x01\x03\0\0\0`);
    const palette = "\0\0\0\x03PLTE\x01\x02\x03\x0d\x87\x64\xd5";
    const [, content] = await bare("image/png", `\x89PNG\r\n\x1a\n${header}${palette}${chunk("IEND", "")}`);
    expect(content).toContain("\0\0\0\x06PLTE\x01\x02\x03\0\0\0");
  });

  it("of a WebP is hidden from decoders that heed it", async () => {
    const webp = (flags: string) => `RIFF....WEBPVP8X${long(`${flags}123456789`)}EXIF${long(exif(6))}`;
    const [orientation, content] = await bare("image/webp", webp("\x08"));
    expect(orientation).toBe(6);
    expect(content).not.toContain("EXIF");
    expect((await bare("image/webp", webp("\0")))[0]).toBe(1);
  });

  it("is 1 where nothing is noted", async () => {
    expect(await bare("image/gif", "GIF89a..")).toEqual([1, "GIF89a.."]);
  });
});

describe("animations", () => {
  it("of AVIF are read as their still image", async () => {
    const file = (brand: string) => bytes(`\0\0\0\x18ftyp${brand}\0\0\0\0mif1${brand}\0\0\0\x08meta`);
    const { content } = await withoutMetadata(file("avis"), "image/avif");
    expect(content).toEqual([file("avif")]);
  });
});

describe("a GIF", () => {
  /** 4 × 1 pixels of entries 0, 1, 2, 1 at (1, 0) on a canvas of 6 × 1, with four colours. */
  const gif = (control: string) =>
    bytes(
      `GIF89a\x06\0\x01\0\x81\x03\0\x0a\x0b\x0c\x14\x15\x16\x1e\x1f\x20\x14\x15\x16${control},\x01\0\0\0\x04\0\x01\0\0` +
        "\x02\x03\x44\x34\x05\0;",
    );
  const reds = (control: string) => [...decodeGif(gif(control)).data.filter((_, index) => index % 3 === 0)];

  it("has its first entry beside a small first frame", () => {
    expect(reds("")).toEqual([10, 10, 20, 30, 20, 10]);
  });

  it("has white for the transparent colour, whichever entries have it", () => {
    expect(reds("!\xf9\x04\x01\0\0\x03\0")).toEqual([255, 10, 255, 30, 255, 255]);
  });
});

describe("the transparent colour of a PNG", () => {
  const chunk = (name: string, text: string) => `\0\0\0${String.fromCharCode(text.length)}${name}${text}.crc`;
  const of = (bits: number, kind: number, ...chunks: string[]) =>
    transparentColour(
      bytes(
        `\x89PNG\r\n\x1a\n${chunk("IHDR", `12345678${String.fromCharCode(bits, kind)}\0\0\0`)}${chunks.join("")}${chunk("IEND", "")}`,
      ),
    );

  it.each([
    ["none without a key", of(8, 2), undefined],
    ["a colour", of(8, 2, chunk("tRNS", "\0\x01\0\x02\0\x03")), [1, 2, 3]],
    ["a shade", of(8, 0, chunk("tRNS", "\0\x07")), [7, 7, 7]],
    ["black or white of one bit", of(1, 0, chunk("tRNS", "\0\x01")), [255, 255, 255]],
    ["the number as it stands of two bits, as Pillow has it", of(2, 0, chunk("tRNS", "\0\x03")), [3, 3, 3]],
    ["a single entry", of(8, 3, chunk("PLTE", "abcdef"), chunk("tRNS", "\xff\0")), [100, 101, 102]],
    ["none of steps", of(8, 3, chunk("PLTE", "abcdef"), chunk("tRNS", "\x80\0")), undefined],
    ["none of 16 bits of grey, which have all", of(16, 0, chunk("tRNS", "\x01\x02")), undefined],
  ])("is %s", (_, found, expected) => {
    expect(found).toEqual(expected);
  });
});

describe("an edit list", () => {
  const number = (value: number, size = 4) =>
    String.fromCharCode(
      ...Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** (size - 1 - index)) & 255),
    );
  const box = (name: string, body: string) => `${number(body.length + 8)}${name}${body}`;
  const dates = "\0".repeat(12);
  const entry = (duration: number, start: number) => `${number(duration)}${number(start)}\0\x01\0\0`;
  /** A movie of 1000 ticks a second, whose second track has 600 and these entries. */
  const movie = (entries: string[], more = "") => {
    const track = (id: number, list: string) =>
      box(
        "trak",
        box("tkhd", `${dates}${number(id)}`) +
          list +
          box("mdia", box("mdhd", `${dates}${number(id === 2 ? 600 : 90_000)}`)),
      );
    const list = box("edts", box("elst", `\0\0\0\0${number(entries.length)}${entries.join("")}`));
    const moov = box("moov", box("mvhd", `${dates}${number(1000)}`) + track(1, "") + track(2, list) + more);
    return new Blob([bytes(box("ftyp", "isom") + moov)]);
  };
  /** Frames at 0 to 0.4 s of the track, with mediabunny's times. */
  const times = (origin: number) => [0, 60, 120, 180, 240].map((tick) => (tick - origin) / 600);
  const shown = async (entries: string[], origin: number, more?: string) =>
    shownFrames(times(origin), await readEdits(movie(entries, more), 2)).map(({ at }) => Math.round(at * 1000));

  it("hides the beginning and the end", async () => {
    expect(await shown([entry(200, 100)], 100)).toEqual([33, 133]);
  });

  it("shows parts one after another, and again", async () => {
    expect(await shown([entry(200, 120), entry(300, 0)], 120)).toEqual([0, 100, 200, 300, 400]);
  });

  it("delays the beginning", async () => {
    expect(await shown([entry(500, 2 ** 32 - 1), entry(400, 60)], 60 - 300)).toEqual([500, 600, 700, 800]);
  });

  it("goes to the end in files in pieces that do not know it", async () => {
    expect(await shown([entry(0, 120)], 120, box("mvex", ""))).toEqual([0, 100, 200]);
    expect(await shown([entry(0, 120)], 120)).toEqual([]);
  });

  it("is not there in most tracks and other files", async () => {
    expect(await readEdits(movie([entry(200, 0)]), 1)).toBeUndefined();
    expect(await readEdits(new Blob([bytes("\x1a\x45\xdf\xa3\x81.\x18\x53\x80\x67")]), 1)).toBeUndefined();
    expect(shownFrames([0.2, 0, 0.1], undefined).map(({ time }) => time)).toEqual([0, 0.1, 0.2]);
  });
});

describe("videos", () => {
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
    expect(await isWholeVideo(new Blob([bytes(content)]))).toBe(whole);
  });
});

describe("colours of videos", () => {
  const plane = (...values: number[]) => ({ values: Uint16Array.from(values), offset: 0, stride: 1, step: 1 });
  const shape = { bits: 8, halfColumns: true, halfRows: true, isOnColumns: false };
  const rgb = (y: number, u: number, v: number, matrix: string, fullRange: boolean) => {
    const planes = { ...shape, width: 1, height: 2, luma: plane(y, y), blue: plane(u), red: plane(v) };
    return [...toRgb(planes, { matrix, fullRange }).data.subarray(0, 3)];
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
