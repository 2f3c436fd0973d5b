import { expect, test } from "vitest";
import {
  AbortError,
  BundleError,
  ContextError,
  DeviceError,
  fromRecord,
  type GemtabError,
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
