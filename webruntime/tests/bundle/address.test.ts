import { describe, expect, test } from "vitest";
import { FolderAddress } from "../../src/bundle/address.ts";
import { UsageError } from "../../src/errors.ts";

const PAGE = "https://host/app/page.html?of=page#top";
const MAIN = "gemtab.json";

test.each([
  ["bundles/m", "https://host/app/bundles/m/gemtab.json"],
  ["bundles/m/", "https://host/app/bundles/m/gemtab.json"],
  ["/m", "https://host/m/gemtab.json"],
  ["", "https://host/app/page.html/gemtab.json?of=page"],
  ["bundles/m?v=2", "https://host/app/bundles/m/gemtab.json?v=2"],
  ["bundles/m/?v=2", "https://host/app/bundles/m/gemtab.json?v=2"],
  ["bundles/m?", "https://host/app/bundles/m/gemtab.json"],
  ["bundles/m#x", "https://host/app/bundles/m/gemtab.json#x"],
  ["bundles/m?next=/a/#x?y/", "https://host/app/bundles/m/gemtab.json?next=/a/#x?y/"],
  ["bundles/m/gemtab.json", "https://host/app/bundles/m/gemtab.json"],
  ["gemtab.json?sig=a%2Fb+c", "https://host/app/gemtab.json?sig=a%2Fb+c"],
  ["https://other/gemtab.json", "https://other/gemtab.json"],
  ["https://other", "https://other/gemtab.json"],
  ["bundles/my-gemtab.json", "https://host/app/bundles/my-gemtab.json/gemtab.json"],
  ["bundles/my model", "https://host/app/bundles/my%20model/gemtab.json"],
  ["bundles/a%2Fb%3Fc/é", "https://host/app/bundles/a%2Fb%3Fc/%C3%A9/gemtab.json"],
  ["bundles\\m\\", "https://host/app/bundles/m/gemtab.json"],
  ["../m/./", "https://host/m/gemtab.json"],
  ["file:///home/m", "file:///home/m/gemtab.json"],
  ["app://bundle/m?v=1", "app://bundle/m/gemtab.json?v=1"],
])("%s is where %s is", (given, manifest) => {
  expect(new FolderAddress(given, PAGE, MAIN).file(MAIN)).toBe(manifest);
});

test("every file has the query and the fragment", () => {
  const address = new FolderAddress("https://host/m?sig=1#x");
  expect(address.file("onnx/model.onnx_data_1")).toBe("https://host/m/onnx/model.onnx_data_1?sig=1#x");
  expect(address.href).toBe("https://host/m/?sig=1#x");
});

test("a file's name stays a name", () => {
  const address = new FolderAddress("https://host/m/");
  expect(address.file("a b?c#d.bin")).toBe("https://host/m/a%20b%3Fc%23d.bin");
  expect(address.file("https://evil/x")).toBe("https://host/m/https%3A//evil/x");
});

test("an address can be given as a URL", () => {
  const given = new URL("https://host/m?v=1");
  expect(new FolderAddress(given).folder).toBe("https://host/m/");
  expect(given.href).toBe("https://host/m?v=1");
});

test("a fragment makes no other folder, a query does", () => {
  const identity = (url: string) => new FolderAddress(url, undefined, MAIN).identity;
  expect(identity("https://host/m#a")).toBe(identity("https://host/m/gemtab.json#b"));
  expect(identity("https://host/m?v=1")).not.toBe(identity("https://host/m?v=2"));
});

describe("is refused in words:", () => {
  test.each(["data:application/json,{}", "blob:https://host/0b9f", "about:blank", "javascript:0"])("%s", (given) => {
    expect(() => new FolderAddress(given, PAGE)).toThrow(UsageError);
    expect(() => new FolderAddress(given, PAGE)).toThrow(/holds one file, and a folder of files is needed here/);
  });

  test("what is no address", () => {
    expect(() => new FolderAddress("https://", PAGE)).toThrow(/"https:\/\/" is not an address\. Give/);
    expect(() => new FolderAddress("m", undefined)).toThrow(/which there is no page to complete/);
  });
});
