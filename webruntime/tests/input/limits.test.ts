/** Inputs beyond a limit are rejected before any work, as in Python: tests/media/test_limits.py. */

import { describe, expect, test } from "vitest";
import { BundleError, MediaError, UsageError } from "../../src/errors.ts";
import { cleanWave } from "../../src/input/audio/wave.ts";
import { checkBytes, checkLength, checkSamples, MAX_FRAMES, MAX_SECONDS } from "../../src/input/limits.ts";
import { audioRules, readRules } from "../../src/input/media.ts";
import { MediaReader } from "../../src/input/media-reader.ts";
import { processor } from "../chat/tiny.ts";

/** A WAVE file whose data may be missing. */
function wave(rate: number, bytes: number, channels = 1): Blob {
  const head = new DataView(new ArrayBuffer(44));
  const put = (at: number, words: string) => new Uint8Array(head.buffer).set(new TextEncoder().encode(words), at);
  put(0, "RIFF");
  put(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, channels, true);
  head.setUint32(24, rate, true);
  head.setUint16(34, 16, true);
  put(36, "data");
  head.setUint32(40, bytes, true);
  return new Blob([head, new Uint8Array(bytes)]);
}

/** A file of a size, without its bytes. */
function large(size: number): File {
  const file = new File(["x"], "large.bin");
  Object.defineProperty(file, "size", { value: size });
  return file;
}

describe("audio", () => {
  test.each([0, 1, 7_999, 192_001, 2 ** 32 - 1])("at a rate of %d is rejected by its header", async (rate) => {
    await expect(cleanWave(wave(rate, 100), "x.wav")).rejects.toThrow(
      `x.wav has ${rate} samples a second; the range is 8000 to 192000.`,
    );
  });

  test("of too many samples is rejected by its length", async () => {
    const long = new Blob([wave(8_000, 0).slice(0, 40), new Uint8Array(4), new Uint8Array(2 ** 28 + 8)]);
    await expect(cleanWave(long, "x.wav")).rejects.toThrow("x.wav is longer than 280 minutes. Cut it first.");
    expect(() => checkSamples(2 ** 27, 48_000, "x")).not.toThrow();
  });
});

test("a video that is too long", () => {
  expect(() => checkLength(MAX_FRAMES, MAX_SECONDS, "x")).not.toThrow();
  for (const [frames, seconds] of [
    [MAX_FRAMES + 1, 1],
    [1, MAX_SECONDS + 1],
  ] as const) {
    expect(() => checkLength(frames, seconds, "x")).toThrow(
      "x is too long: at most 1,048,576 frames in 6 hours are looked through. Cut it first.",
    );
  }
});

describe("a file", () => {
  const reader = new MediaReader(processor, true);

  test("that is too large is not read", async () => {
    const file = large(3 * 2 ** 30 + 1);
    for (const part of [
      { type: "image", image: file },
      { type: "audio", audio: file },
      { type: "video", video: file },
    ] as const) {
      await expect(reader.read(part, undefined)).rejects.toThrow(
        /large\.bin has 3,221,225,473 bytes; the limit is [\d,]+/,
      );
    }
    expect(() => checkBytes(large(10), "x", 10)).not.toThrow();
    expect(() => checkBytes(new Blob(), "x", 10)).toThrow(MediaError);
  });

  test("of which the requested frames exceed the memory limit", async () => {
    const part = { type: "video", video: new Blob(["x"]), frames: 100_000 } as const;
    await expect(reader.read(part, undefined)).rejects.toThrow(UsageError);
  });
});

describe("settings of a processor are bounded:", () => {
  const sections = {
    image_processor: {},
    video_processor: {},
    feature_extractor: {},
    processor_class: "Gemma4Processor",
  };
  const rules = (changed: object) => [readRules(changed), audioRules(changed)];
  const numbers: [string | undefined, string][] = [
    ...["patch_size", "pooling_kernel_size"].map((name): [string, string] => ["image_processor", name]),
    ...["patch_size", "num_frames"].map((name): [string, string] => ["video_processor", name]),
    ...["sampling_rate", "frame_length", "hop_length", "fft_length", "feature_size"].map((name): [string, string] => [
      "feature_extractor",
      name,
    ]),
    ...["min_frequency", "max_frequency", "mel_floor"].map((name): [string, string] => ["feature_extractor", name]),
    [undefined, "audio_seq_length"],
    [undefined, "audio_ms_per_token"],
  ];

  test.each(numbers)("%s %s", (section, name) => {
    for (const value of [-1, 1e9, 1e300, null, "16", [], true]) {
      const changed = section ? { ...sections, [section]: { [name]: value } } : { ...sections, [name]: value };
      expect(() => rules(changed), String(value)).toThrow(BundleError);
    }
  });

  test("and sections are objects", () => {
    for (const section of ["image_processor", "video_processor", "feature_extractor"]) {
      for (const value of [null, 5, "x", undefined]) {
        expect(() => rules({ ...sections, [section]: value })).toThrow(BundleError);
      }
    }
    expect(readRules(sections).video.frames).toBe(32);
    expect(audioRules(sections).longest).toBe(480_000);
  });
});
