import { expect, test } from "vitest";
import {
  AbortError,
  BundleError,
  ContextError,
  DeviceError,
  fromRecord,
  GemtabError,
  hasCode,
  MediaError,
  toRecord,
  UsageError,
} from "../src/errors.ts";

const ERRORS: [GemtabError, string][] = [
  [new BundleError("what", "gemtab.json", 0), "BundleError"],
  [new DeviceError("what"), "DeviceError"],
  [new ContextError("what"), "ContextError"],
  [new AbortError("what"), "AbortError"],
  [new UsageError("what"), "UsageError"],
];

test.each(ERRORS)("%s has the code of its Python namesake, and crosses a message port as itself", (error, name) => {
  expect([error.code, error.name, error.constructor.name]).toEqual([name, name, name]);
  const crossed = fromRecord(structuredClone(toRecord(error)));
  expect(crossed).toBeInstanceOf(error.constructor);
  expect(crossed).toEqual(error);
});

test("an error of another script's copy of a class keeps its class", () => {
  class Copy extends Error {
    readonly code = "MediaError";
  }
  const crossed = fromRecord(structuredClone(toRecord(new Copy("damaged"))));
  expect(crossed).toBeInstanceOf(MediaError);
  expect(crossed.message).toBe("damaged");
  expect(hasCode(new Copy("damaged"), "MediaError")).toBe(true);
  expect(hasCode(new Copy("damaged"), "AbortError")).toBe(false);
});

test.each([
  [new TypeError("x"), "TypeError: x"],
  [new DOMException("x", "DataError"), "DataError: x"],
  [Object.assign(new Error("x"), { code: "toString" }), "Error: x"],
  ["x", "x"],
])("an error of a foreign class is internal: %s", (error, cause) => {
  expect(toRecord(error)).toEqual({ code: "InternalError", message: cause });
  const crossed = fromRecord(toRecord(error));
  expect(crossed).toBeInstanceOf(GemtabError);
  expect(crossed.message).toContain(`unexpected error (${cause})`);
  expect(toRecord(crossed)).toEqual(toRecord(error));
});

test("no message is longer than a paragraph", () => {
  const error = new BundleError(`Begin ${"x".repeat(200_000)} and the end.`, "plan/f32.json");
  expect(error.message.length).toBeLessThanOrEqual(601);
  expect(error.message).toMatch(/^Begin x+…x+ and the end\.$/);
});

test("facts beside the message cross too", () => {
  const error = new BundleError("altered", "a.json", 2, { expected: "00", found: "11" });
  expect(fromRecord(structuredClone(toRecord(error)))).toMatchObject({
    slice: 2,
    details: { expected: "00", found: "11" },
  });
});
