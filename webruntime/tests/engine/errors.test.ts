import { expect, test } from "vitest";
import {
  AbortError,
  BundleError,
  ContextError,
  DeviceError,
  fromRecord,
  type GemtabError,
  hasCode,
  MediaError,
  toRecord,
  UsageError,
} from "../../src/engine/errors.ts";

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

test("an error of another script's copy of the class crosses as what it is", () => {
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
  new TypeError("x"),
  new DOMException("x", "DataError"),
  Object.assign(new Error("x"), { code: "toString" }),
])("an error of none of gemtab's classes is internal: %s", (error) => {
  expect(toRecord(error)).toEqual({ code: "InternalError", message: "x" });
});
