import { describe, expect, it } from "vitest";
import type { PromptWithMedia } from "../../src/chat/placeholders.ts";
import { commonPrefix, PromptCache, snapshotCapacity, wayBack } from "../../src/chat/prompt-cache.ts";
import { item, medium, NotingEngine } from "./tiny.ts";

describe("commonPrefix", () => {
  it.each([
    [[], [1], 0],
    [[1, 2, 3], [1, 2, 3], 3],
    [[1, 2, 3], [1, 2], 2],
    [[1, 2, 3], [1, 9, 3], 1],
    [[5], [6], 0],
  ])("of %j and %j is %d", (left, right, length) => {
    expect(commonPrefix(left, right)).toBe(length);
  });
});

describe("wayBack", () => {
  const never = () => false;

  it("stays when the prompt goes on from the caches", () => {
    expect(wayBack(100, 100, [40], never)).toEqual({ by: "stay", position: 100 });
  });

  it("rewinds while the rings still hold the window", () => {
    expect(wayBack(100, 90, [40], (to) => to >= 80)).toEqual({ by: "rewind", position: 90 });
  });

  it("restores the nearest snapshot that the prompt still begins with", () => {
    expect(wayBack(500, 300, [20, 140, 290, 310], never)).toEqual({ by: "restore", position: 290 });
    expect(wayBack(500, 300, [300], never)).toEqual({ by: "restore", position: 300 });
  });

  it("starts anew when every snapshot is beyond", () => {
    expect(wayBack(500, 10, [20, 140], never)).toEqual({ by: "reset", position: 0 });
    expect(wayBack(500, 10, [], never)).toEqual({ by: "reset", position: 0 });
  });
});

describe("snapshotCapacity", () => {
  it.each([
    [0, 16],
    [1 << 20, 16],
    [6 << 20, 10],
    [100 << 20, 1],
  ])("of snapshots of %d bytes is %d", (bytes, count) => {
    expect(snapshotCapacity(bytes)).toBe(count);
  });
});

describe("a prompt that has another end of an image than the caches", () => {
  /** The tokens 7, an image, 8, 9. */
  const prompt = (tokens: number): PromptWithMedia => {
    const image = item("image", tokens);
    const items = [{ medium: medium("image", [image]), item: image, position: 1 }];
    return { ids: [7, ...Array(tokens).fill(18), 8, 9], items };
  };

  it.each([
    [undefined, 5, [3, 3, 3]],
    [100, 1, [1, 5, 7]],
  ])("where an image's tokens see each other up to %j, reuses %d", async (blockTokens, expected, fills) => {
    const engine = new NotingEngine();
    engine.blockTokens = blockTokens;
    const cache = new PromptCache(engine);
    const reuses: number[] = [];
    for (const tokens of [4, 6]) {
      await cache.fill(prompt(tokens), 3, { encode: async () => [], onProgress: (_, reused) => reuses.push(reused) });
    }
    expect(Math.max(...reuses)).toBe(expected);
    expect(engine.fills.map(({ ids }) => ids.length)).toEqual(fills);
  });
});
