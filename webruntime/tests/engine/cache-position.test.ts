import { expect, test } from "vitest";
import { CachePosition } from "../../src/engine/cache-position.ts";
import { ContextError } from "../../src/errors.ts";

/** 12 rows for a window of 8: four positions may be overwritten. */
const RING = { rows: 12, window: 8 };

function at(position: number, rings = [RING]): CachePosition {
  const cache = new CachePosition(rings);
  cache.wrote(position);
  cache.position = position;
  return cache;
}

test("a model without rings rewinds anywhere, and no further ahead than it is", () => {
  const cache = at(1000, []);
  expect([0, 1, 999, 1000, 1001, -1, 0.5].map((to) => cache.canRewind(to))).toEqual([
    true,
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
});

test("before a ring has wrapped, all of it is still there", () => {
  expect([0, 3, 12].map((to) => at(12).canRewind(to))).toEqual([true, true, true]);
});

test("after it has wrapped, a rewind reaches back rows - window positions", () => {
  expect([96, 95].map((to) => at(100).canRewind(to))).toEqual([true, false]);
});

test("rewinding twice does not reach further than rewinding once", () => {
  const cache = at(100);
  cache.rewind(98);
  expect([96, 95].map((to) => cache.canRewind(to))).toEqual([true, false]);
});

test("steps that ran ahead and were taken back count", () => {
  const cache = at(100);
  cache.wrote(3);
  expect([99, 98].map((to) => cache.canRewind(to))).toEqual([true, false]);
});

test("near the start, what precedes position 0 is not missed", () => {
  // After 13 positions, row 0 has position 12. So position 0 is overwritten, and 1 is the earliest. A reset needs none.
  const cache = at(13);
  expect([0, 8, 9, 10].map((to) => cache.canRewind(to))).toEqual([true, false, true, true]);
});

test("the narrowest of several rings decides", () => {
  const cache = at(100, [RING, { rows: 10, window: 8 }]);
  expect(cache.slack).toBe(2);
  expect([98, 97].map((to) => cache.canRewind(to))).toEqual([true, false]);
});

test("a rewind too far says where the caches are and what to do", () => {
  expect(() => at(100).rewind(50)).toThrow(ContextError);
  expect(() => at(100).rewind(50)).toThrow(/from position 100 to 50.*Restore a snapshot/);
});

test("restoring brings back what the rings held at the mark", () => {
  const cache = at(100);
  const mark = cache.mark();
  cache.wrote(50);
  cache.position = 150;
  cache.restore(mark);
  expect(cache.position).toBe(100);
  expect([96, 95].map((to) => cache.canRewind(to))).toEqual([true, false]);
});

test("after a reset the caches are as new", () => {
  const cache = at(100);
  cache.reset();
  expect(cache.position).toBe(0);
  expect(cache.canRewind(0)).toBe(true);
});
