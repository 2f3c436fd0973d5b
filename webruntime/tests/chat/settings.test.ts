import { describe, expect, it } from "vitest";
import { readGenerationConfig } from "../../src/chat/generation-config.ts";
import { Stopwatch } from "../../src/chat/stopwatch.ts";
import { BundleError } from "../../src/errors.ts";

describe("readGenerationConfig", () => {
  it("reads sampling and every end token", () => {
    const json = { do_sample: true, temperature: 0.7, top_k: 64, top_p: 0.95, eos_token_id: [1, 106, 50] };
    const { sampling, stop } = readGenerationConfig(json);
    expect(sampling).toEqual({ temperature: 0.7, topK: 64, topP: 0.95 });
    expect([...stop]).toEqual([1, 106, 50]);
  });

  it("is greedy unless the file says to sample", () => {
    const { sampling, stop } = readGenerationConfig({ temperature: 0.7, eos_token_id: 1 });
    expect(sampling).toEqual({ temperature: 0, topK: 0, topP: 1 });
    expect([...stop]).toEqual([1]);
  });

  it("refuses a file without end tokens", () => {
    expect(() => readGenerationConfig({})).toThrow(/eos_token_id is absent/);
  });

  it.each([
    null,
    [],
    "x",
    7,
    { eos_token_id: null },
    { eos_token_id: [] },
    { eos_token_id: "1" },
    { eos_token_id: -1 },
  ])("rejects %j, which an older bundle may have, with advice", (json) => {
    expect(() => readGenerationConfig(json)).toThrow(BundleError);
    expect(() => readGenerationConfig(json)).toThrow(/eos_token_id is .*Export the checkpoint again/);
  });

  it.each([
    { top_k: -5 },
    { top_k: 2 ** 40 },
    { top_k: 2.5 },
    { top_p: 7 },
    { top_p: -1 },
    { temperature: "hot" },
    { top_k: true },
    { do_sample: "yes" },
  ])("rejects sampling by %j", (changes) => {
    expect(() => readGenerationConfig({ eos_token_id: 1, ...changes })).toThrow(BundleError);
  });

  it("takes null for nothing said", () => {
    const json = { do_sample: true, temperature: null, top_k: null, top_p: null, eos_token_id: 1 };
    expect(readGenerationConfig(json).sampling).toEqual({ temperature: 1, topK: 0, topP: 1 });
  });
});

describe("Stopwatch", () => {
  /** A clock that returns the given times, in milliseconds, one after another. */
  const clock = (...times: number[]) => {
    let reading = 0;
    return () => times[reading++] ?? Number.NaN;
  };

  it("counts the first token apart from those after it", () => {
    const watch = new Stopwatch(clock(1000, 1500, 1600, 1700));
    for (let id = 0; id < 3; id++) watch.id();
    expect(watch.stats(120, 20, 123)).toEqual({
      promptTokens: 120,
      reusedTokens: 20,
      answerTokens: 3,
      firstTokenSeconds: 0.5,
      promptTokensPerSecond: 200,
      tokensPerSecond: 10,
      contextUsed: 123,
    });
  });

  it("has no rates for an answer that never began", () => {
    const stats = new Stopwatch(clock(1000)).stats(10, 0, 4);
    expect(stats).toMatchObject({
      answerTokens: 0,
      firstTokenSeconds: 0,
      promptTokensPerSecond: 0,
      tokensPerSecond: 0,
    });
  });
});
