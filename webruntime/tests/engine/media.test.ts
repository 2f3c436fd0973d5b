/** Towers and their rows on a real device (SwiftShader through Dawn), against the toy's own arithmetic. */

import { afterEach, describe, expect, test } from "vitest";
import { memoryNeed, towersNeed } from "../../src/bundle/memory.ts";
import type { MediaRows, PositionedRows, Tower } from "../../src/engine/interface.ts";
import { chunks, lastVisible } from "../../src/engine/media.ts";
import { TextEngine } from "../../src/engine/text-engine.ts";
import { AbortError, BundleError, ContextError, DeviceError, UsageError } from "../../src/errors.ts";
import type { LoadProgress } from "../../src/messages.ts";
import { type FileServer, serveFiles } from "../bundle/file-server.ts";
import { CONTEXT, type Files, oracleContinuation, toyBundle } from "../bundle/toy-bundle.ts";
import { mediaBundle, PLACEHOLDER, remembered, TOWER_PLAN, TOWER_TOKENS, TOWER_WEIGHTS } from "../bundle/toy-media.ts";
import { gpu } from "./gpu.ts";

let server: FileServer | undefined;
let engine: TextEngine | undefined;
afterEach(async () => {
  engine?.dispose();
  engine = undefined;
  await server?.close();
});

async function load(files: Files = mediaBundle()): Promise<TextEngine> {
  server = await serveFiles(files);
  engine = await TextEngine.load(server.url, { gpu });
  return engine;
}

const shapeOf = (pixels: readonly number[]) => ({ tokens: pixels.length, rows: pixels.length });

function encode(tower: Tower, pixels: readonly number[]): Promise<MediaRows> {
  return tower.encode({ pixels: Float32Array.from(pixels) }, shapeOf(pixels));
}

/** Placeholders of an image. */
const blanks = (pixels: readonly number[]) => pixels.map(() => PLACEHOLDER);

async function decode(engine: TextEngine, id: number, count: number): Promise<number[]> {
  const ids: number[] = [];
  for await (const next of engine.decode(id, { maxTokens: count })) ids.push(next);
  return ids;
}

/** Fills ids and images, in any order. Returns the ids that follow. */
async function answer(engine: TextEngine, said: (number | number[])[], count = 6): Promise<number[]> {
  const tower = await engine.tower("image");
  const ids: number[] = [];
  const media: PositionedRows[] = [];
  for (const part of said) {
    if (typeof part === "number") ids.push(part);
    else {
      media.push({ position: engine.position + ids.length, rows: await encode(tower, part), bidirectional: true });
      ids.push(...blanks(part));
    }
  }
  await engine.fill(Uint32Array.from(ids.slice(0, -1)), { media });
  for (const { rows } of media) rows.dispose();
  return decode(engine, ids.at(-1) as number, count);
}

/** The numbers that the toy remembers for ids and images. */
const values = (said: (number | number[])[], options = {}) =>
  said.flatMap((part) => (typeof part === "number" ? [part] : remembered(part, options)));

describe("chunks", () => {
  test.each([
    [
      [0, 10],
      [],
      [
        [0, 4],
        [4, 8],
        [8, 10],
      ],
    ],
    [
      [0, 10],
      [[3, 6]],
      [
        [0, 3],
        [3, 7],
        [7, 10],
      ],
    ],
    [
      [0, 8],
      [
        [0, 4],
        [4, 8],
      ],
      [
        [0, 4],
        [4, 8],
      ],
    ],
    [
      [5, 11],
      [[7, 9]],
      [
        [5, 9],
        [9, 11],
      ],
    ],
    [[5, 5], [], []],
  ] as const)("of %j around %j are %j", ([start, end], blocks, expected) => {
    const spans = blocks.map(([start, end]) => ({ start, end }));
    expect(chunks({ start, end }, 4, spans)).toEqual(expected.map(([start, end]) => ({ start, end })));
  });

  test("do not divide a block that has no room in one", () => {
    expect(() => chunks({ start: 0, end: 9 }, 4, [{ start: 2, end: 7 }])).toThrow(ContextError);
    expect(() => chunks({ start: 0, end: 9 }, 4, [{ start: 2, end: 7 }])).toThrow(/takes 5 tokens.*4 at most/);
  });
});

test("a token sees itself, and a token of an image sees the last one of the image", () => {
  const blocks = [
    { start: 2, end: 4 },
    { start: 5, end: 8 },
  ];
  expect([...lastVisible({ start: 1, end: 9 }, blocks)]).toEqual([1, 3, 3, 4, 7, 7, 7, 8]);
  expect([...lastVisible({ start: 4, end: 6 }, blocks)]).toEqual([4, 7]);
});

describe("a tower", () => {
  test("is loaded when it is first needed, and once", async () => {
    const toy = await load();
    expect(toy.towerTokens).toEqual({ image: TOWER_TOKENS });
    const asked = () => server?.requests.filter(({ path }) => path === TOWER_WEIGHTS).length;
    expect(asked()).toBe(0);
    const events: LoadProgress[] = [];
    const tower = await toy.tower("image", { onProgress: (progress) => events.push(progress) });
    expect(events.at(0)).toMatchObject({ stage: "download", loaded: 0 });
    expect(events.at(-1)).toMatchObject({ stage: "ready", loaded: 12, total: 12 });
    expect(await toy.tower("image")).toBe(tower);
    expect(asked()).toBe(1);
  });

  test("makes rows of any number of tokens up to its most, and their memory is released", async () => {
    const toy = await load();
    const tower = await toy.tower("image");
    for (const pixels of [[7], [1, 2, 3, 4, 5, 6], [9, 8]]) {
      const rows = await encode(tower, pixels);
      expect(rows).toMatchObject({ tokens: pixels.length, bytes: pixels.length * 8 });
      toy.reset();
      await toy.fill(Uint32Array.from(blanks(pixels)), { media: [{ position: 0, rows, bidirectional: true }] });
      expect(await decode(toy, 1, 4)).toEqual(oracleContinuation([...remembered(pixels), 1], 4));
      rows.dispose();
      await expect(toy.fill(Uint32Array.of(1))).resolves.toBeUndefined();
    }
  });

  test("takes incomplete rows of input: the rest is zero", async () => {
    const toy = await load();
    const tower = await toy.tower("image");
    const rows = await tower.encode({ pixels: Float32Array.of(4, 5) }, { tokens: 3, rows: 2 });
    await toy.fill(Uint32Array.from(blanks([4, 5, 0])), { media: [{ position: 0, rows, bidirectional: true }] });
    const expected = [4, 5, 0].map((pixel) => pixel * 3 + 2);
    expect(await decode(toy, 1, 3)).toEqual(oracleContinuation([...expected, 1], 3));
  });

  test("rejects more tokens than it takes, and inputs that do not fit", async () => {
    const tower = await (await load()).tower("image");
    await expect(encode(tower, [1, 2, 3, 4, 5, 6, 7])).rejects.toThrow(ContextError);
    await expect(encode(tower, [1, 2, 3, 4, 5, 6, 7])).rejects.toThrow(/7 tokens are more .* sees takes at once, 6\./);
    await expect(tower.encode({ pixels: new Float32Array(3) }, { tokens: 2, rows: 2 })).rejects.toThrow(UsageError);
    await expect(tower.encode({ unknown: new Float32Array(2) }, { tokens: 2, rows: 2 })).rejects.toThrow(
      /takes pixels.* none were given/,
    );
    const rows = await encode(tower, [1]);
    expect(rows.tokens).toBe(1);
  });

  test("that the bundle does not have is an error", async () => {
    const toy = await load();
    await expect(toy.tower("audio")).rejects.toThrow(UsageError);
    await expect(toy.tower("audio")).rejects.toThrow(/without the part of the model that hears/);
  });

  test("an altered weight is named, text goes on, and the next try may succeed", async () => {
    const files = mediaBundle();
    const whole = Buffer.from(files.get(TOWER_WEIGHTS) as Buffer);
    files.get(TOWER_WEIGHTS)?.writeUInt8(7, 9);
    const toy = await load(files);
    await expect(toy.tower("image")).rejects.toMatchObject({ code: "BundleError", file: TOWER_WEIGHTS, slice: 0 });
    await toy.fill(Uint32Array.of(3, 1, 4));
    expect(await decode(toy, 1, 4)).toEqual(oracleContinuation([3, 1, 4, 1], 4));
    files.set(TOWER_WEIGHTS, whole);
    expect(await toy.tower("image")).toBeDefined();
  });

  test("an abort ends its loading, and the next try may succeed", async () => {
    const toy = await load();
    server?.stalled.add(TOWER_WEIGHTS);
    const controller = new AbortController();
    const loading = toy.tower("image", { signal: controller.signal });
    controller.abort();
    await expect(loading).rejects.toBeInstanceOf(AbortError);
    server?.stalled.clear();
    expect(await toy.tower("image")).toBeDefined();
  });

  test("that is too large for the GPU is an error with the limit, and text goes on", async () => {
    const files = mediaBundle({
      tower: (plan) => Object.assign(plan.limits, { maxComputeWorkgroupStorageSize: 2 ** 30 }),
    });
    const toy = await load(files);
    await expect(toy.tower("image")).rejects.toThrow(DeviceError);
    await expect(toy.tower("image")).rejects.toThrow(
      /hat sees: its maxComputeWorkgroupStorageSize is \d+, but 1073741824/,
    );
    await toy.fill(Uint32Array.of(3, 1, 4));
    expect(await decode(toy, 1, 4)).toEqual(oracleContinuation([3, 1, 4, 1], 4));
  });

  test("gets the limits that it needs of the device, where the adapter has them", async () => {
    const files = mediaBundle({ tower: (plan) => Object.assign(plan.limits, { maxBufferSize: 300 << 20 }) });
    expect(await (await load(files)).tower("image")).toBeDefined();
  });

  test("whose rows do not fit the text model is a damaged bundle", async () => {
    const files = mediaBundle({ plan: (plan) => Object.assign(plan.buffers.media ?? {}, { bytes: 4 * 12 }) });
    const loading = load(files);
    await expect(loading).rejects.toThrow(BundleError);
    await expect(loading).rejects.toThrow(/makes rows of 8 bytes, but its text model takes 12/);
  });

  test("whose plan is missing ends the loading, named", async () => {
    const files = mediaBundle();
    files.delete(TOWER_PLAN);
    await expect(load(files)).rejects.toMatchObject({ code: "BundleError", file: TOWER_PLAN });
  });

  test("does not encode while another call goes on", async () => {
    const toy = await load();
    const tower = await toy.tower("image");
    const filling = toy.fill(Uint32Array.of(1, 2, 3, 4, 5, 6));
    await expect(encode(tower, [1])).rejects.toThrow(/encode was called while fill was going on/);
    await filling;
    await expect(encode(tower, [1])).resolves.toMatchObject({ tokens: 1 });
  });

  test("cannot be used after the engine was disposed of", async () => {
    const toy = await load();
    const tower = await toy.tower("image");
    toy.dispose();
    await expect(encode(tower, [1])).rejects.toThrow(/disposed of/);
  });
});

describe("memory", () => {
  /** Bytes of the existing buffers of the engine's device. */
  const live = new Map<GPUBuffer, number>();
  /** Label of a buffer for which the GPU has no memory. */
  let refused: string | undefined;
  const bytes = () => [...live.values()].reduce((sum, size) => sum + size, 0);

  const counted = {
    requestAdapter: async () => {
      const adapter = (await gpu.requestAdapter()) as GPUAdapter;
      const requestDevice = adapter.requestDevice.bind(adapter);
      adapter.requestDevice = async (descriptor) => count(await requestDevice(descriptor));
      return adapter;
    },
  } as unknown as GPU;

  function count(device: GPUDevice): GPUDevice {
    const create = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      const size = descriptor.label === refused ? 2 ** 40 : descriptor.size;
      const buffer = create({ ...descriptor, size });
      live.set(buffer, descriptor.size);
      const destroy = buffer.destroy.bind(buffer);
      buffer.destroy = () => {
        live.delete(buffer);
        return destroy();
      };
      return buffer;
    };
    return device;
  }

  async function loadCounted(files: Files = mediaBundle()): Promise<TextEngine> {
    live.clear();
    refused = undefined;
    server = await serveFiles(files);
    engine = await TextEngine.load(server.url, { gpu: counted });
    return engine;
  }

  test("for scratch is taken only while a tower encodes, that for rows until they are disposed of", async () => {
    const tower = await (await loadCounted()).tower("image");
    const before = bytes();
    expect(before).toBeGreaterThan(0);
    const rows = await encode(tower, [1, 2, 3]);
    expect(bytes()).toBe(before + 3 * 8);
    rows.dispose();
    expect(bytes()).toBe(before);
  });

  test("is as the manifest states and the engine reports", async () => {
    const toy = await loadCounted(mediaBundle({ plan: (plan) => delete plan.buffers.unused }));
    const { manifest } = toy.files;
    const staging = () => [...live].filter(([{ label }]) => label.startsWith("staging")).length * 4;
    expect(toy.stats.gpuBytes).toBe(bytes() - staging());
    expect(toy.stats.gpuBytes).toBe(memoryNeed(manifest.plans[1] as (typeof manifest.plans)[number], CONTEXT).total);
    await toy.tower("image");
    expect(toy.stats.gpuBytes).toBe(bytes() - staging());
    expect(toy.stats.towerBytes).toBe(32);
    const whole = 16 + 16 + (8 + 16) * TOWER_TOKENS;
    expect(towersNeed(manifest)).toBe(whole);
  });

  test.each(["slot 1", "rows of image"])(
    "that the GPU does not have for %s is an error, and text goes on",
    async (label) => {
      const toy = await loadCounted();
      const tower = await toy.tower("image");
      const before = bytes();
      refused = label;
      await expect(encode(tower, [1, 2])).rejects.toThrow(DeviceError);
      expect(bytes()).toBe(before);
      refused = undefined;
      expect(await encode(tower, [1, 2])).toMatchObject({ tokens: 2 });
      await toy.fill(Uint32Array.of(3, 1, 4));
      expect(await decode(toy, 1, 4)).toEqual(oracleContinuation([3, 1, 4, 1], 4));
    },
  );

  test.each([
    [TOWER_WEIGHTS, 9],
    ["shaders/lay.wgsl", 0],
  ])("for a tower whose %s was altered is given back", async (file, offset) => {
    const files = mediaBundle();
    const toy = await loadCounted(files);
    const before = bytes();
    files.get(file)?.writeUInt8(7, offset);
    await expect(toy.tower("image")).rejects.toThrow(BundleError);
    expect(bytes()).toBe(before);
  });
});

describe("filling with media", () => {
  const SAID = [3, 1, [5, 6, 7, 8, 9], 2, [4], 11, 12, [1, 2, 3], 10];

  test("puts rows at the positions of placeholders, across chunks", async () => {
    expect(await answer(await load(), SAID)).toEqual(oracleContinuation(values(SAID), 6));
  });

  test("continues at the position of the caches", async () => {
    const toy = await load();
    const first = [7, [1, 2], 5];
    const said = await answer(toy, first, 2);
    const next = [said.at(-1) as number, [9, 9, 9, 9, 9], 3];
    const all = [...values(first), ...said.slice(0, -1), ...values(next)];
    expect(await answer(toy, next)).toEqual(oracleContinuation(all, 6));
  });

  test("does not divide images whose tokens see each other", async () => {
    const toy = await load(mediaBundle({ visible: true }));
    expect(toy.blockTokens).toBe(4);
    const said = [3, 1, [5, 6, 7, 8], 2, [4], 11, [1, 2, 3], 10];
    const done: number[] = [];
    expect(await answer(toy, said)).toEqual(oracleContinuation(values(said, { visible: true }), 6));
    toy.reset();
    const rows = await encode(await toy.tower("image"), [5, 6, 7, 8]);
    const ids = Uint32Array.of(3, 1, ...blanks([5, 6, 7, 8]), 2);
    await toy.fill(ids, { media: [{ position: 2, rows, bidirectional: true }], onChunk: (count) => done.push(count) });
    expect(done).toEqual([2, 6, 7]);
  });

  test("an image that does not fit a chunk is rejected before anything runs", async () => {
    const toy = await load(mediaBundle({ visible: true }));
    await expect(answer(toy, [1, [1, 2, 3, 4, 5], 2])).rejects.toThrow(ContextError);
    expect(toy.position).toBe(0);
  });

  test("text tokens see themselves alone in models with bidirectional images", async () => {
    const toy = await load(mediaBundle({ visible: true }));
    await answer(toy, [[5, 6, 7, 8], 1]);
    toy.reset();
    await toy.fill(Uint32Array.of(3, 1, 4, 1, 5));
    expect(await decode(toy, 9, 5)).toEqual(oracleContinuation([3, 1, 4, 1, 5, 9], 5));
  });

  test("a bundle without towers takes no media", async () => {
    const rows: MediaRows = { tokens: 1, bytes: 8, dispose: () => undefined };
    const toy = await load(toyBundle());
    expect([toy.towerTokens, toy.blockTokens]).toEqual([{}, undefined]);
    const filling = toy.fill(Uint32Array.of(1), { media: [{ position: 0, rows, bidirectional: true }] });
    await expect(filling).rejects.toThrow(/takes text only/);
  });

  test("rows of another engine are rejected", async () => {
    const toy = await load();
    const rows: MediaRows = { tokens: 1, bytes: 8, dispose: () => undefined };
    const filling = toy.fill(Uint32Array.of(1), { media: [{ position: 0, rows, bidirectional: true }] });
    await expect(filling).rejects.toThrow(UsageError);
    expect(toy.position).toBe(0);
  });

  test("a shader of a tower is swapped like any other", async () => {
    const files = mediaBundle();
    const toy = await load(files);
    await toy.tower("image");
    await toy.swapShader("shaders/lay.wgsl", String(files.get("shaders/lay.wgsl")).replace("f32(step.rows)", "1"));
    expect(await answer(toy, [[5, 6], 2], 4)).toEqual(oracleContinuation([16, 19, 2], 4));
  });
});
