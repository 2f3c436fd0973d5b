import { expect, test } from "vitest";
import { Rate } from "../../src/bundle/rate.ts";
import { overlap } from "../../src/engine/weights.ts";

test("regions overlap where both have bytes", () => {
  const buffer = { offset: 100, bytes: 50 };
  expect(overlap(buffer, { offset: 0, bytes: 120 })).toEqual({ offset: 100, bytes: 20 });
  expect(overlap(buffer, { offset: 120, bytes: 10 })).toEqual({ offset: 120, bytes: 10 });
  expect(overlap(buffer, { offset: 140, bytes: 100 })).toEqual({ offset: 140, bytes: 10 });
  expect(overlap(buffer, { offset: 150, bytes: 10 }).bytes).toBeLessThanOrEqual(0);
  expect(overlap(buffer, { offset: 0, bytes: 100 }).bytes).toBeLessThanOrEqual(0);
});

test("the rate is that of the last seconds, not of the whole", () => {
  const rate = new Rate(0);
  expect(rate.update(1000, 1000)).toBe(1000);
  for (let second = 2; second <= 10; second++) rate.update(1000, second * 1000);
  expect(rate.update(1000, 11_000)).toBe(0);
  expect(rate.update(4000, 12_000)).toBeCloseTo(1000);
});
