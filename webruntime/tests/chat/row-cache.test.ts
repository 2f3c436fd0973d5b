import { expect, test } from "vitest";
import { RowCache } from "../../src/chat/row-cache.ts";

function rows(bytes: number, disposed: string[], name: string) {
  return { tokens: 1, bytes, dispose: () => disposed.push(name) };
}

test("the least recently used rows go first, and only when it is trimmed", () => {
  const disposed: string[] = [];
  const cache = new RowCache(100);
  for (const name of ["a", "b", "c"]) cache.add(name, rows(50, disposed, name));
  expect(cache.get("a")).toBeDefined();
  expect([disposed, cache.bytes]).toEqual([[], 150]);
  cache.trim();
  expect([disposed, cache.bytes]).toEqual([["b"], 100]);
  expect(cache.get("b")).toBeUndefined();
});

test("rows above the limit are not kept", () => {
  const disposed: string[] = [];
  const cache = new RowCache(100);
  cache.add("large", rows(101, disposed, "large"));
  cache.trim();
  expect([disposed, cache.bytes]).toEqual([["large"], 0]);
});
