/** Hosts that break off, fall silent, or send unexpected content. */

import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import { readWhole, request, SILENCE_MS } from "../../src/bundle/body.ts";
import { Bundle } from "../../src/bundle/bundle.ts";
import { download } from "../../src/bundle/slices.ts";
import { BundleError } from "../../src/errors.ts";
import { fileEntry, toyBundle } from "./toy-bundle.ts";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A host with the same answer to every request. */
function host(answer: (url: string, init: RequestInit) => Response | Promise<Response>): void {
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => answer(url, init));
}

const URL = "http://localhost/toy/";

async function failure(work: Promise<unknown>): Promise<BundleError> {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(BundleError);
  return error as BundleError;
}

/** A body that begins and never goes on; it ends with an error when the request is stopped, as browsers have it. */
function stalledBody(signal: AbortSignal | null | undefined, start: string): ReadableStream {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(start));
      signal?.addEventListener("abort", () => controller.error(signal.reason));
    },
  });
}

describe("a host that falls silent", () => {
  test("before the answer is an error", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    host((_, { signal }) => new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason))));
    const opening = failure(Bundle.open(URL));
    await vi.advanceTimersByTimeAsync(SILENCE_MS);
    expect((await opening).message).toBe(
      "The download of gemtab.json stands still: its host has sent nothing for 30 seconds. Check the connection and try again.",
    );
  });

  test("within the manifest is an error", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    host((_, { signal }) => new Response(stalledBody(signal, '{"format":')));
    const opening = failure(Bundle.open(URL));
    await vi.advanceTimersByTimeAsync(SILENCE_MS);
    expect((await opening).message).toContain("sent nothing for 30 seconds");
  });

  test("within a slice is an error with file and slice", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const entry = fileEntry(Buffer.alloc(600));
    host((_, { signal }) => new Response(stalledBody(signal, "\0".repeat(300))));
    let arrived = () => {};
    const first = new Promise<void>((resolve) => (arrived = resolve));
    const loading = failure(download({ url: `${URL}a`, file: "a", entry }, [{ offset: 0, bytes: 600 }], arrived));
    await first;
    while (vi.getTimerCount() === 0) await new Promise(setImmediate);
    await vi.advanceTimersByTimeAsync(SILENCE_MS);
    expect(await loading).toMatchObject({ file: "a", slice: 1, message: expect.stringContaining("stands still") });
  });

  test("for a shorter time is no error", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const late = (body: string) => new Promise<Response>((give) => setTimeout(() => give(new Response(body)), 29_000));
    host(() => late("{}"));
    const opening = failure(Bundle.open(URL));
    await vi.advanceTimersByTimeAsync(29_000);
    expect((await opening).message).toContain('the file lacks "gemtab"');
  });
});

describe("a manifest", () => {
  const open = (body: BodyInit) => {
    host(() => new Response(body));
    return failure(Bundle.open(URL));
  };

  test("whose body breaks is a broken download", async () => {
    const broken = new ReadableStream({ start: (controller) => controller.error(new TypeError("Failed to fetch")) });
    expect((await open(broken)).message).toBe(
      "The download of gemtab.json broke off (TypeError: Failed to fetch). Check the connection and try again.",
    );
  });

  test("without end is not read to the end", async () => {
    let pulls = 0;
    const endless = new ReadableStream({
      pull(controller) {
        pulls++;
        controller.enqueue(new Uint8Array(1 << 20));
      },
    });
    expect((await open(endless)).message).toMatch(/gemtab\.json has more than 16777216 bytes/);
    expect(pulls).toBeLessThan(20);
  });

  test("is counted after decompression", async () => {
    const bomb = gzipSync(Buffer.alloc(1 << 20));
    expect(bomb.length).toBeLessThan(2048);
    const inflated = new Blob([bomb]).stream().pipeThrough(new DecompressionStream("gzip"));
    host(() => new Response(inflated as ReadableStream));
    const reply = await request(`${URL}gemtab.json`, "gemtab.json", {});
    const error = await failure(readWhole(reply, "gemtab.json", 1 << 16, undefined));
    expect(error.message).toContain("more than 65536 bytes");
  });

  test("that is not UTF-8 is an error", async () => {
    expect((await open(Uint8Array.of(0x7b, 0xff, 0x7d))).message).toMatch(/^gemtab\.json is not text in UTF-8/);
  });

  test("that is nested deeply is rejected before parsing", async () => {
    const error = await open(`{"files":${"[".repeat(500_000)}${"]".repeat(500_000)}}`);
    expect(error.message).toMatch(/^gemtab\.json is nested deeper than 200 levels/);
  });

  test("with braces in its texts is not nested", async () => {
    expect((await open(JSON.stringify({ gemtab: '[{"'.repeat(1000) }))).message).toMatch(/lacks "source"/);
  });

  test.each([null, [], 7, "x".repeat(200_000), { format: "x".repeat(200_000) }, { ["k".repeat(200_000)]: 1 }])(
    "is said in a few hundred characters, whatever it is: case %#",
    async (value) => {
      const { message } = await open(JSON.stringify(value));
      expect(message).toMatch(/^gemtab\.json .*Export/);
      expect(message.length).toBeLessThan(400);
    },
  );
});

test("a file that says it is too large to be read whole is not fetched", async () => {
  const files = toyBundle();
  const manifest = JSON.parse(String(files.get("gemtab.json")));
  const [sha256] = manifest.files["shaders/store.wgsl"].sha256;
  manifest.files["shaders/store.wgsl"] = { bytes: 2 ** 21, slice_bytes: 2 ** 21, sha256: [sha256] };
  host(() => new Response(JSON.stringify(manifest)));
  expect((await failure(Bundle.open(URL))).message).toMatch(
    /shaders\/store\.wgsl has 2097152 bytes, more than 1048576/,
  );
});

test("digests are in the details of an error, not in the message", async () => {
  const data = Buffer.from("content");
  host(() => new Response("changed"));
  const source = { url: `${URL}a`, file: "a", entry: fileEntry(data) };
  const error = await failure(download(source, [{ offset: 0, bytes: data.length }], () => undefined));
  expect(error.message).not.toMatch(/[0-9a-f]{64}/);
  expect(error.details).toEqual({ expected: source.entry.sha256[0], found: expect.stringMatching(/^[0-9a-f]{64}$/) });
});
