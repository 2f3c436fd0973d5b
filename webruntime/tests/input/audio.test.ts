import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { BundleError, MediaError, UsageError } from "../../src/errors.ts";
import { mixToMono } from "../../src/input/audio/decode.ts";
import { audioInputs, segments } from "../../src/input/audio/inputs.ts";
import { Fourier, logMel, type MelRules } from "../../src/input/audio/mel.ts";
import { resample } from "../../src/input/audio/resample.ts";
import { audioRules, audioTokens } from "../../src/input/audio/rules.ts";

interface Fixture {
  resampled: Record<string, number[]>;
  frames: number;
  spectrogram: number[];
  tokens: Record<string, number>;
  shown: number;
}

/** Made by tests/media/audio_fixture.py, from the same noise. */
const fixture: Fixture = read("tests/fixtures/audio.json");
const processor: { feature_extractor: object } = read("models/tiny/processor_config.json");
const RULES = audioRules(processor);
const UNIFIED = audioRules({ feature_extractor: { feature_extractor_type: "Gemma4UnifiedAudioFeatureExtractor" } });
const LONGEST = 480_000;

function read<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`../../../${file}`, import.meta.url), "utf8"));
}

function noise(count: number): Float32Array {
  let state = 1n;
  return Float32Array.from({ length: count }, () => {
    state = (state * 1_103_515_245n + 12_345n) % (1n << 31n);
    return (Number(state >> 15n) - 32_768) / 32_768;
  });
}

function largestDifference(found: Float32Array, expected: number[]): number {
  const shown = found.filter((_, index) => index % fixture.shown === 0);
  expect(shown.length).toBe(expected.length);
  return Math.max(...expected.map((value, index) => Math.abs(value - (shown[index] ?? Number.NaN))));
}

describe("the resampler", () => {
  it.each(Object.entries(fixture.resampled))("makes of %s Hz what Python makes", (rate, expected) => {
    const found = resample(noise(Math.trunc(Number(rate) * 0.02)), Number(rate), 16_000);
    expect(largestDifference(found, expected)).toBeLessThan(1e-6);
  });

  it("changes nothing at the same rate, and makes nothing of nothing", () => {
    const audio = noise(100);
    expect(resample(audio, 16_000, 16_000)).toBe(audio);
    expect(resample(new Float32Array(), 48_000, 16_000)).toHaveLength(0);
    expect(resample(noise(1), 192_000, 16_000)).toHaveLength(1);
  });
});

describe("the spectrogram", () => {
  it("is that of transformers", () => {
    const { features, rows, width } = audioInputs(noise(1000), RULES);
    expect([rows, width]).toEqual([fixture.frames, 128]);
    expect(largestDifference(features, fixture.spectrogram)).toBeLessThan(1e-5);
  });

  it("rests on a Fourier transform", () => {
    const values = noise(64);
    const expected = Array.from({ length: 33 }, (_, k) => {
      const part = (wave: (angle: number) => number) =>
        values.reduce((sum, value, n) => sum + value * wave((2 * Math.PI * k * n) / 64), 0);
      return Math.hypot(part(Math.cos), part(Math.sin));
    });
    const found = new Fourier(64).magnitudes((index) => values[index] ?? 0);
    for (const [k, value] of expected.entries()) expect(found[k]).toBeCloseTo(value, 10);
  });

  it("is the floor's logarithm in silence", () => {
    const features = logMel(new Float32Array(1600), RULES.frames as MelRules);
    expect(new Set(features)).toEqual(new Set([Math.fround(Math.log(1e-3))]));
  });
});

describe("soft tokens", () => {
  it.each(Object.entries(fixture.tokens))("of %s samples are as many as in Python", (samples, tokens) => {
    expect(audioTokens(Number(samples), RULES)).toBe(tokens);
  });

  it("have 640 raw samples each where there is no tower", () => {
    const { features, rows, width, softTokens } = audioInputs(noise(641), UNIFIED);
    expect([rows, width, softTokens]).toEqual([2, 640, 2]);
    expect(features.subarray(0, 641)).toEqual(noise(641));
    expect(features.subarray(641).every((value) => value === 0)).toBe(true);
  });
});

describe("long audio", () => {
  it.each([0, 1, LONGEST, LONGEST + 1, LONGEST + 160, LONGEST + 161, 1_040_000])("of %i samples is cut", (count) => {
    const audio = noise(count);
    const parts = segments(audio, RULES);
    expect(parts.map((part) => part.length).reduce((sum, length) => sum + length)).toBe(count);
    expect(parts).toHaveLength(Math.max(1, Math.ceil(count / LONGEST)));
    if (count > 160) for (const part of parts) expect(audioTokens(part.length, RULES)).toBeGreaterThan(0);
    for (const part of parts) expect(part.length).toBeLessThanOrEqual(LONGEST);
  });

  it("is refused where the caller says so", () => {
    expect(() => segments(new Float32Array(LONGEST + 1600), RULES, "refuse")).toThrow(
      "lasts 30.1 seconds; the model hears 30 at once",
    );
    expect(segments(new Float32Array(LONGEST), RULES, "refuse")).toHaveLength(1);
    expect(() => audioInputs(new Float32Array(LONGEST + 1), RULES)).toThrow(UsageError);
  });
});

describe("audio is refused", () => {
  it.each([Number.NaN, Number.POSITIVE_INFINITY])("with %d in it", (value) => {
    const audio = noise(16_000);
    audio[8000] = value;
    for (const rules of [RULES, UNIFIED]) expect(() => audioInputs(audio, rules)).toThrow("after 0.500 seconds");
  });

  it("that is too short", () => {
    expect(audioInputs(noise(161), RULES).softTokens).toBe(1);
    expect(() => audioInputs(noise(160), RULES)).toThrow("10.0 ms, but at least 10.1 ms are needed");
    expect(() => audioInputs(noise(0), UNIFIED)).toThrow(MediaError);
  });

  it.each([
    ["dither", 0.1],
    ["fft_overdrive", true],
    ["input_scale_factor", 2],
    ["per_bin_mean", [0]],
    ["preemphasis", 0.97],
    ["fft_length", 500],
    ["fft_length", 256],
    ["chunk_length", 30],
  ])("whose model sets %s", (name, value) => {
    const changed = { feature_extractor: { ...processor.feature_extractor, [name]: value } };
    expect(() => audioRules(changed)).toThrow(name);
    expect(() => audioRules({})).toThrow(BundleError);
  });
});

it("a microphone's channels are averaged", () => {
  const channels = [Float32Array.of(1, 0.5, 0), Float32Array.of(0, 0.5, -1)];
  expect(mixToMono(channels)).toEqual(Float32Array.of(0.5, 0.5, -0.5));
  expect(mixToMono([])).toHaveLength(0);
});
