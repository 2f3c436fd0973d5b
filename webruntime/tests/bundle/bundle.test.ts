import { afterEach, expect, test } from "vitest";
import { Bundle } from "../../src/bundle/bundle.ts";
import { type FileServer, serveFiles } from "./file-server.ts";
import { type Files, fileEntry, toyBundle, toyManifest } from "./toy-bundle.ts";

let server: FileServer;
afterEach(() => server.close());

async function open(files: Files): Promise<Bundle> {
  server = await serveFiles(files);
  return Bundle.open(server.url);
}

/** A toy bundle with a changed manifest. */
function withManifest(change: object): Files {
  const files = toyBundle();
  const manifest = JSON.parse(String(files.get("gemtab.json")));
  return files.set("gemtab.json", Buffer.from(JSON.stringify({ ...manifest, ...change })));
}

test("an address is good with and without its last slash", async () => {
  server = await serveFiles(new Map([...toyBundle()].map(([name, data]) => [`models/toy/${name}`, data])));
  const bundles = await Promise.all([Bundle.open(`${server.url}models/toy`), Bundle.open(`${server.url}models/toy/`)]);
  for (const bundle of bundles) expect(bundle.url).toBe(`${server.url}models/toy/`);
});

test("the query of an address is on every file of the bundle", async () => {
  const signed = new Map([...toyBundle()].map(([name, data]) => [`${name}?sig=a%2Fb`, data]));
  server = await serveFiles(signed);
  const bundle = await Bundle.open(`${server.url}gemtab.json?sig=a%2Fb#part`);
  expect(bundle.url).toBe(`${server.url}?sig=a%2Fb#part`);
  expect((await bundle.plan("plan/f32.json")).vocabulary).toBe(16);
  expect(server.requests.length).toBe(2);
});

test("a plan is read and checked", async () => {
  const bundle = await open(toyBundle());
  expect((await bundle.plan("plan/f32.json")).vocabulary).toBe(16);
});

test("a bundle of another format version is reported, whatever else it contains", async () => {
  const opened = open(withManifest({ format: 2, news: true }));
  await expect(opened).rejects.toMatchObject({ code: "BundleError", file: "gemtab.json" });
  await expect(opened).rejects.toThrow(/has format 2, but this runtime reads format 1\. Export the bundle again/);
});

test("a bundle with a draft model alone cannot answer", async () => {
  const draft = { file: "onnx/draft_model_q4.onnx", target_hidden: 1536 };
  const opened = open(withManifest({ plans: [], draft }));
  await expect(opened).rejects.toMatchObject({ code: "UsageError" });
  await expect(opened).rejects.toThrow(
    /has a draft model alone \(toy\).*cannot answer without it\. Load the bundle of the target model/,
  );
});

test("a bundle with neither plan nor draft model is damaged", async () => {
  const opened = open(withManifest({ plans: [] }));
  await expect(opened).rejects.toMatchObject({ code: "BundleError" });
  await expect(opened).rejects.toThrow(/neither a plan nor a draft graph/);
});

test("a folder that is no bundle is an error with the address", async () => {
  await expect(open(new Map())).rejects.toThrow(/gemtab\.json is missing at http:.*Check the bundle's address/);
});

test("a page instead of a manifest is no bundle", async () => {
  await expect(open(new Map([["gemtab.json", Buffer.from("<!doctype html>")]]))).rejects.toThrow(
    /^gemtab\.json at http:\S+ is not JSON\. The host answers with a web page/,
  );
});

test.each([
  [
    "whose digests do not cover a file",
    { bytes: 300, slice_bytes: 256 },
    /config\.json must have a digest for each of the 2 slices, but has 1/,
  ],
  [
    "whose slices would fill the memory",
    { bytes: 2 ** 40, slice_bytes: 2 ** 40 },
    /slices of 1099511627776 bytes, more than 67108864/,
  ],
])("a manifest %s is refused", async (_, size, message) => {
  const { files: whole } = toyManifest(toyBundle());
  const file = message.source.includes("config") ? "config.json" : "onnx/other.onnx_data";
  const files = { ...whole, [file]: { ...size, sha256: ["0".repeat(64)] } };
  await expect(open(withManifest({ files }))).rejects.toThrow(message);
});

test("a small file is checked like a large one", async () => {
  const bundle = await open(toyBundle());
  server.files.set(
    "shaders/store.wgsl",
    Buffer.from(String(server.files.get("shaders/store.wgsl")).replace("struct", "Struct")),
  );
  await expect(bundle.text("shaders/store.wgsl")).rejects.toMatchObject({ file: "shaders/store.wgsl", slice: 0 });
});

test("a file that the manifest does not list is not fetched", async () => {
  const bundle = await open(toyBundle());
  const requests = server.requests.length;
  expect(bundle.has("parity.json")).toBe(false);
  await expect(bundle.text("parity.json")).rejects.toThrow(/has no parity\.json/);
  expect(server.requests.length).toBe(requests);
});

test("parity is read if the manifest lists it, and is else null without a request", async () => {
  const bundle = await open(toyBundle());
  const requests = server.requests.length;
  expect(await bundle.parity()).toBeNull();
  expect(server.requests.length).toBe(requests);
  await server.close();

  const parity = Buffer.from('{"top_1": 1}');
  const files = toyBundle().set("parity.json", parity);
  const manifest = JSON.parse(String(files.get("gemtab.json")));
  manifest.files["parity.json"] = fileEntry(parity);
  const verified = await open(files.set("gemtab.json", Buffer.from(JSON.stringify(manifest))));
  expect(await verified.parity()).toEqual({ top_1: 1 });
});
