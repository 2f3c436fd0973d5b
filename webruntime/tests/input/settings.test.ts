import { describe, expect, test } from "vitest";
import { BundleError } from "../../src/errors.ts";
import { audioRules } from "../../src/input/audio/rules.ts";
import { readRules } from "../../src/input/image/rules.ts";
import { processor } from "../chat/tiny.ts";

test("the tiny model's own settings are read", () => {
  expect(readRules(processor).image.patch).toBeGreaterThan(0);
  expect(audioRules(processor).rate).toBe(16_000);
});

function changed(section: string, name: string, value: unknown): unknown {
  return { ...processor, [section]: { ...processor[section], [name]: value } };
}

describe("processor_config.json", () => {
  test.each([null, [], 7, "x", {}, { image_processor: null, feature_extractor: null }])("cannot be %j", (value) => {
    expect(() => readRules(value)).toThrow(BundleError);
    expect(() => audioRules(value)).toThrow(BundleError);
  });

  test.each<[string, string, unknown]>([
    ["image_processor", "patch_size", 0],
    ["image_processor", "patch_size", "16"],
    ["image_processor", "pooling_kernel_size", 1e300],
    ["image_processor", "max_soft_tokens", { x: "y".repeat(100_000) }],
    ["image_processor", "image_mean", "y".repeat(100_000)],
    ["video_processor", "num_frames", 2 ** 40],
    ["video_processor", "num_frames", -1],
  ])("cannot set %s.%s to any value: case %#", (section, name, value) => {
    expect(() => readRules(changed(section, name, value))).toThrow(BundleError);
    expect(() => readRules(changed(section, name, value))).toThrow(
      new RegExp(`^processor_config\\.json .*${name}.{0,200}$`),
    );
  });

  test.each<[string, unknown]>([
    ["hop_length", 0],
    ["hop_length", 1.5],
    ["sampling_rate", 1],
    ["feature_size", 1e9],
    ["fft_length", 2 ** 30],
    ["mel_floor", -1],
    ["max_frequency", "high"],
    ["x".repeat(100_000), "y".repeat(100_000)],
  ])("cannot set numbers of audio rules to any value: case %#", (name, value) => {
    expect(() => audioRules(changed("feature_extractor", name, value))).toThrow(BundleError);
  });

  test("cannot say that audio is endless", () => {
    expect(() => audioRules({ ...processor, audio_seq_length: 1e15 })).toThrow(
      /audio_seq_length to 1000000000000000, not/,
    );
  });
});
