import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { download, downloadBytes, type Region, type Source, wantedRuns } from "../../src/bundle/slices.ts";
import { AbortError, BundleError } from "../../src/errors.ts";
import { type FileServer, serveFiles } from "./file-server.ts";
import { fileEntry } from "./toy-bundle.ts";

const SLICE = 1000;
const FILE = "onnx/weights.onnx_data";
/** Five and a half slices. Each byte depends on its position. */
const DATA = Buffer.from(Array.from({ length: 5500 }, (_, index) => (index * 31 + (index >> 8)) % 251));
const WHOLE = [{ offset: 0, bytes: DATA.length }];

let server: FileServer;
afterEach(() => {
  vi.restoreAllMocks();
  return server?.close();
});

async function serve(data: Buffer | undefined, options = {}): Promise<Source> {
  server = await serveFiles(new Map(data && [[FILE, data]]), options);
  return { url: server.url + FILE, file: FILE, entry: fileEntry(DATA, SLICE) };
}

/** Runs a download. Returns the bytes of the slices by offset, and the error if there was one. */
async function run(source: Source, wanted: readonly Region[], options = {}) {
  const slices: { offset: number; data: Buffer }[] = [];
  const error = await download(
    source,
    wanted,
    (offset, bytes) => {
      slices.push({ offset, data: Buffer.from(bytes) });
    },
    options,
  ).catch((error: unknown) => error);
  return { slices, error };
}

/** A listener for bytes that calls `act` when bytes of the third slice arrive: two slices were given to the sink then. */
function afterTwoSlices(act: () => void): (bytes: number) => void {
  let total = 0;
  return (bytes) => {
    total += bytes;
    if (total > 2 * SLICE) setTimeout(act, 20);
  };
}

function altered(offset: number): Buffer {
  const data = Buffer.from(DATA);
  data[offset] = (data[offset] as number) ^ 1;
  return data;
}

test("neighbouring slices are fetched together, untouched ones not at all", () => {
  const entry = fileEntry(DATA, SLICE);
  const wanted = [
    { offset: 4990, bytes: 20 },
    { offset: 10, bytes: 4 },
    { offset: 900, bytes: 100 },
    { offset: 900, bytes: 101 },
    { offset: 3000, bytes: 0 },
  ];
  expect(wantedRuns(entry, wanted)).toEqual([
    [0, 1],
    [4, 5],
  ]);
  expect(downloadBytes(entry, wanted)).toBe(2000 + 1500);
});

describe.each([
  { place: "in place", byob: true },
  { place: "chunk by chunk", byob: false },
])("a body that the browser reads $place:", ({ byob }) => {
  beforeEach(() => {
    if (byob) return;
    const getReader = ReadableStream.prototype.getReader as () => ReadableStreamDefaultReader;
    vi.spyOn(ReadableStream.prototype, "getReader").mockImplementation(function (this: ReadableStream, ...options) {
      if (options.length > 0) throw new TypeError("This browser cannot.");
      return getReader.call(this) as never;
    });
  });

  test("is read so", async () => {
    const inPlace = vi.spyOn(ReadableStreamBYOBReader.prototype, "read");
    const { error } = await run(await serve(DATA), WHOLE);
    expect(error).toBeUndefined();
    expect(inPlace.mock.calls.length > 0).toBe(byob);
  });

  describe.each([
    { ranges: true, requested: ["bytes=1000-1999", "bytes=4000-5499"] },
    { ranges: false, requested: ["bytes=1000-1999", "bytes=4000-5499"] },
  ])("from a server with ranges: $ranges", ({ ranges, requested }) => {
    test("wanted slices come out in order, whole and right", async () => {
      const source = await serve(DATA, { ranges });
      let received = 0;
      const onBytes = (bytes: number) => {
        received += bytes;
      };
      const wanted = [
        { offset: 4500, bytes: 900 },
        { offset: 1999, bytes: 1 },
      ];
      const { slices, error } = await run(source, wanted, { onBytes });
      expect(error).toBeUndefined();
      expect(slices.map(({ offset }) => offset)).toEqual([1000, 4000, 5000]);
      for (const { offset, data } of slices) expect(data).toEqual(DATA.subarray(offset, offset + data.length));
      expect(slices.at(-1)?.data.length).toBe(500);
      expect(received).toBe(2500);
      expect(server.requests.map(({ range }) => range)).toEqual(requested);
    });

    test("no byte of an altered slice is given out, and those before it are", async () => {
      const source = await serve(altered(4123), { ranges });
      const { slices, error } = await run(source, WHOLE);
      expect(slices.map(({ offset }) => offset)).toEqual([0, 1000, 2000, 3000]);
      expect(error).toBeInstanceOf(BundleError);
      expect(error).toMatchObject({ code: "BundleError", file: FILE, slice: 4 });
      expect((error as Error).message).toMatch(/Slice 4 of onnx\/weights\.onnx_data was altered.*SHA-256/);
    });

    test("a short file is named with slice, bytes found and expected", async () => {
      const source = await serve(DATA.subarray(0, 5300), { ranges });
      const { slices, error } = await run(source, WHOLE);
      expect(slices.length).toBe(5);
      expect(error).toMatchObject({ code: "BundleError", file: FILE, slice: 5 });
      expect((error as Error).message).toMatch(/short: slice 5 ended after 300 of 500 bytes/);
    });
  });

  test("a missing file is named with its address", async () => {
    const { error } = await run(await serve(undefined), WHOLE);
    expect(error).toMatchObject({ code: "BundleError", file: FILE });
    expect((error as Error).message).toContain(`is missing at ${server.url}${FILE}`);
  });

  test("a server that cannot be reached is an error in words", async () => {
    const source = await serve(DATA);
    await server.close();
    const { error } = await run(source, WHOLE);
    expect(error).toMatchObject({ code: "BundleError", file: FILE });
    expect((error as Error).message).toMatch(/broke off.*Check the connection/);
  });

  test("a connection that breaks within a slice is an error with the slice", async () => {
    const source = await serve(DATA);
    server.stalled.add(FILE);
    const { slices, error } = await run(source, WHOLE, { onBytes: afterTwoSlices(server.close) });
    expect(slices.map(({ offset }) => offset)).toEqual([0, 1000]);
    expect(error).toMatchObject({ code: "BundleError", file: FILE, slice: 2 });
  });

  test("a finished download is read to its end, so that no browser shows it as failed", async () => {
    const source = await serve(DATA);
    const cancelled: string[] = [];
    const reader = byob ? ReadableStreamBYOBReader : ReadableStreamDefaultReader;
    vi.spyOn(reader.prototype, "cancel").mockImplementation(async () => void cancelled.push("whole"));
    const { error } = await run(source, WHOLE);
    await run(source, [{ offset: 1000, bytes: 1000 }]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(error).toBeUndefined();
    expect(cancelled).toEqual([]);
  });

  test("what comes after the wanted bytes is not downloaded", async () => {
    const source = await serve(Buffer.concat([DATA, Buffer.alloc(4 << 20)]), { ranges: false });
    const reader = byob ? ReadableStreamBYOBReader : ReadableStreamDefaultReader;
    const cancel = vi.spyOn(reader.prototype, "cancel");
    const { slices } = await run(source, [{ offset: 0, bytes: 1000 }]);
    expect(slices.length).toBe(1);
    await vi.waitFor(() => expect(cancel).toHaveBeenCalled());
  });

  test("a host that leaves the connection open after the last byte is not waited for", async () => {
    const source = await serve(Buffer.concat([DATA, DATA]), { ranges: false });
    server.stalled.add(FILE);
    const { slices, error } = await run(source, WHOLE);
    expect(error).toBeUndefined();
    expect(slices.length).toBe(6);
  });

  test("an abort ends a download that has stalled", async () => {
    const source = await serve(DATA);
    server.stalled.add(FILE);
    const controller = new AbortController();
    const onBytes = afterTwoSlices(() => controller.abort());
    const { slices, error } = await run(source, WHOLE, { signal: controller.signal, onBytes });
    expect(error).toBeInstanceOf(AbortError);
    expect(slices.map(({ offset }) => offset)).toEqual([0, 1000]);
  });

  test("one slice at a time is held: the next is not read before the sink is done", async () => {
    const source = await serve(DATA);
    const log: string[] = [];
    await download(source, WHOLE, async (offset) => {
      log.push(`begin ${offset}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      log.push(`end ${offset}`);
    });
    const offsets = [0, 1000, 2000, 3000, 4000, 5000];
    expect(log).toEqual(offsets.flatMap((offset) => [`begin ${offset}`, `end ${offset}`]));
  });
});
