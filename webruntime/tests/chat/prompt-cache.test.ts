import { describe, expect, it } from "vitest";
import { commonPrefix, snapshotCapacity, wayBack } from "../../src/chat/prompt-cache.ts";

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

  it("starts anew when every snapshot lies beyond", () => {
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
