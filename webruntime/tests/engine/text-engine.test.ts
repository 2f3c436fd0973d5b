/** The engine on a real device (SwiftShader through Dawn), against the toy's own arithmetic. */

import { afterEach, describe, expect, test } from "vitest";
import type { Dispatch } from "../../src/bundle/plan.gen.ts";
import type { DecodeOptions, Snapshot } from "../../src/engine/interface.ts";
import { TextEngine } from "../../src/engine/text-engine.ts";
import { AbortError, ContextError, DeviceError, UsageError } from "../../src/errors.ts";
import type { LoadOptions, LoadProgress } from "../../src/messages.ts";
import { type FileServer, serveFiles } from "../bundle/file-server.ts";
import { CONTEXT, type Files, oracleContinuation, SLICE, toyBundle, WEIGHTS_FILE } from "../bundle/toy-bundle.ts";
import { gpu } from "./gpu.ts";

const PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7];

let server: FileServer | undefined;
let engine: TextEngine | undefined;
afterEach(async () => {
  engine?.dispose();
  engine = undefined;
  await server?.close();
});

async function load(files: Files = toyBundle(), options: LoadOptions = {}, ranges = true): Promise<TextEngine> {
  server = await serveFiles(files, { ranges });
  engine = await TextEngine.load(server.url, { gpu, ...options });
  return engine;
}

/** Fills all of `ids` but the last, and decodes from that. Returns the `count` ids that follow. */
async function answer(engine: TextEngine, ids: readonly number[], count: number, options: DecodeOptions = {}) {
  await engine.fill(Uint32Array.from(ids.slice(0, -1)));
  return decode(engine, ids.at(-1) ?? 0, count, options);
}

async function decode(engine: TextEngine, id: number, count: number, options: DecodeOptions = {}): Promise<number[]> {
  const ids: number[] = [];
  for await (const next of engine.decode(id, { maxTokens: count, ...options })) ids.push(next);
  return ids;
}

describe("loading", () => {
  test.each([true, false])("uploads the wanted slices only, from a server with ranges: %s", async (ranges) => {
    const events: LoadProgress[] = [];
    const toy = await load(toyBundle(), { onProgress: (progress) => events.push(progress) }, ranges);
    const requested = server?.requests.filter(({ path }) => path === WEIGHTS_FILE).map(({ range }) => range);
    expect(requested).toEqual(["bytes=0-511", "bytes=1024-1279"]);
    expect(await answer(toy, PROMPT, 20)).toEqual(oracleContinuation(PROMPT, 20));
    expect(events.map(({ stage }) => stage)).toEqual([
      "manifest",
      ...events.slice(1, -2).map(() => "download"),
      "compile",
      "ready",
    ]);
    expect(events.at(-1)).toMatchObject({ loaded: 3 * SLICE, total: 3 * SLICE });
  });

  test("reports the allocated memory without the unused cache", async () => {
    const { stats, adapter, context, vocabulary } = await load();
    expect(stats).toEqual({
      activation: "f32",
      embeddings: "gpu",
      weightBytes: 64,
      stateBytes: 8 * 4 + CONTEXT * 4,
      scratchBytes: 64 + 16 + 16 + 16 + 32 + 256,
      towerBytes: 0,
      gpuBytes: 64 + 8 * 4 + CONTEXT * 4 + 64 + 16 + 16 + 16 + 32 + 256,
      dispatches: { fill: 2, decode: 4 },
    });
    expect({ context, vocabulary }).toEqual({ context: CONTEXT, vocabulary: 16 });
    expect(adapter.software).toBe(/swiftshader/i.test(adapter.description + adapter.architecture));
  });

  test("with a smaller context allocates smaller caches, and rejects an impossible context", async () => {
    const toy = await load(toyBundle(), { context: 32 });
    expect(toy.stats.stateBytes).toBe(8 * 4 + 32 * 4);
    await expect(load(toyBundle(), { context: 65 })).rejects.toThrow(UsageError);
    await expect(load(toyBundle(), { context: 3 })).rejects.toThrow(/must be 4 to 64 tokens/);
  });

  test("fails for an altered weight file, with file and slice", async () => {
    const files = toyBundle();
    files.get(WEIGHTS_FILE)?.writeUInt8(7, 4 * SLICE + 1);
    await expect(load(files)).rejects.toMatchObject({ code: "BundleError", file: WEIGHTS_FILE, slice: 4 });
  });

  test("ignores damage in unused slices", async () => {
    const files = toyBundle();
    files.get(WEIGHTS_FILE)?.writeUInt8(7, 3 * SLICE);
    expect(await answer(await load(files), PROMPT, 4)).toEqual(oracleContinuation(PROMPT, 4));
  });

  test("fails for a missing shader", async () => {
    const files = toyBundle();
    files.delete("shaders/score.wgsl");
    await expect(load(files)).rejects.toMatchObject({ code: "BundleError", file: "shaders/score.wgsl" });
  });

  test("fails for a shader with errors, with kernel, file and line", async () => {
    const broken = toyBundle({ shaders: { "shaders/store.wgsl": "fn main() {\n  let x: u32 = 1.5;\n}" } });
    await expect(load(broken)).rejects.toThrow(/kernel store \(shaders\/store\.wgsl\).*store\.wgsl:2:16: .*u32/);
  });

  test("fails for a shader with other bindings than the plan, with the kernel", async () => {
    const broken = toyBundle({ plan: (plan) => plan.kernels.store?.bindings.splice(0, 1, "read_write") });
    await expect(load(broken)).rejects.toThrow(DeviceError);
    await expect(load(broken)).rejects.toThrow(/kernel store/);
  });

  test("an abort ends it while a download has stalled", async () => {
    server = await serveFiles(toyBundle());
    server.stalled.add(WEIGHTS_FILE);
    const controller = new AbortController();
    const onProgress = ({ stage }: LoadProgress) => {
      if (stage === "download") controller.abort();
    };
    const loading = TextEngine.load(server.url, { gpu, signal: controller.signal, onProgress });
    await expect(loading).rejects.toBeInstanceOf(AbortError);
  });

  test("limits that are too small are reported with the found and the needed value", async () => {
    const files = toyBundle({
      plan: (plan) => Object.assign(plan.limits, { maxComputeWorkgroupStorageSize: 2 ** 30 }),
    });
    const loading = load(files);
    await expect(loading).rejects.toThrow(DeviceError);
    await expect(loading).rejects.toThrow(/maxComputeWorkgroupStorageSize is \d+, but 1073741824 is needed/);
  });

  test("errors distinguish a browser without WebGPU from one without a GPU", async () => {
    server = await serveFiles(toyBundle());
    const none = { requestAdapter: async () => null } as unknown as GPU;
    await expect(TextEngine.load(server.url)).rejects.toThrow(/This browser has no WebGPU/);
    await expect(TextEngine.load(server.url, { gpu: none })).rejects.toThrow(/found no GPU that it may use/);
  });

  test("a bundle with plans for other GPUs alone is an error", async () => {
    const files = toyBundle();
    const manifest = JSON.parse(String(files.get("gemtab.json")));
    // SwiftShader has no f16.
    files.set("gemtab.json", Buffer.from(JSON.stringify({ ...manifest, plans: [manifest.plans[0]] })));
    await expect(load(files)).rejects.toThrow(/needs a GPU with shader-f16/);
  });

  test("the wanted plan is loaded, or named in an error", async () => {
    server = await serveFiles(toyBundle());
    const { url } = server;
    const toy = await TextEngine.load(url, { gpu, plan: "f32" });
    expect(toy.stats.activation).toBe("f32");
    toy.dispose();
    const refused = async (plan: string, error: typeof UsageError | typeof DeviceError, words: RegExp) => {
      const loading = TextEngine.load(url, { gpu, plan: plan as "f16" });
      await expect(loading).rejects.toThrow(error);
      await expect(loading).rejects.toThrow(words);
    };
    await refused("f16", DeviceError, /The f16 plan needs a GPU with shader-f16, which this one lacks/);
    await refused("f64", UsageError, /plan: "f64" is not known\. Choose one of "auto", "f16", "f32"/);
    const files = toyBundle();
    const manifest = JSON.parse(String(files.get("gemtab.json")));
    files.set("gemtab.json", Buffer.from(JSON.stringify({ ...manifest, plans: [manifest.plans[1]] })));
    await expect(load(files, { plan: "f16" })).rejects.toThrow(/This bundle has no f16 plan, but f32/);
  });
});

describe("decoding", () => {
  test.each([1, 2, 3, 8])(
    "gives the oracle's ids with %i steps in flight, past several turns of the ring",
    async (depth) => {
      const toy = await load();
      expect(await answer(toy, PROMPT, 40, { depth })).toEqual(oracleContinuation(PROMPT, 40));
      expect(toy.position).toBe(PROMPT.length - 1 + 40);
    },
  );

  test("ends when the context is full", async () => {
    const toy = await load();
    const ids = await answer(toy, PROMPT, 1000);
    expect(ids).toEqual(oracleContinuation(PROMPT, CONTEXT - PROMPT.length + 1));
    expect(toy.position).toBe(CONTEXT);
    expect(await decode(toy, 1, 5)).toEqual([]);
  });

  test.each([1, 3, 8])("goes on right where a loop was left, with %i steps in flight", async (depth) => {
    const toy = await load();
    const expected = oracleContinuation(PROMPT, 12);
    await toy.fill(Uint32Array.from(PROMPT.slice(0, -1)));
    const ids: number[] = [];
    for await (const id of toy.decode(PROMPT.at(-1) ?? 0, { depth })) if (ids.push(id) === 5) break;
    expect(toy.position).toBe(PROMPT.length - 1 + 5);
    expect([...ids, ...(await decode(toy, ids.at(-1) ?? 0, 7))]).toEqual(expected);
  });

  test("an abort keeps the yielded ids, and the engine goes on", async () => {
    const toy = await load();
    await toy.fill(Uint32Array.from(PROMPT.slice(0, -1)));
    const controller = new AbortController();
    const ids: number[] = [];
    const run = async () => {
      for await (const id of toy.decode(PROMPT.at(-1) ?? 0, { signal: controller.signal })) {
        if (ids.push(id) === 3) controller.abort();
      }
    };
    await expect(run()).rejects.toBeInstanceOf(AbortError);
    expect(ids.length).toBe(3);
    expect([...ids, ...(await decode(toy, ids.at(-1) ?? 0, 5))]).toEqual(oracleContinuation(PROMPT, 8));
  });

  test("forced ids are taken one at a time", async () => {
    const toy = await load();
    const forced = [...PROMPT];
    await toy.fill(Uint32Array.from(forced.slice(0, -1)));
    for (const other of [2, 13, 0, 7]) {
      expect(await decode(toy, forced.at(-1) ?? 0, 1)).toEqual(oracleContinuation(forced, 1));
      forced.push(other);
    }
  });

  test("logits are those of the last id", async () => {
    const toy = await load();
    const [id] = await answer(toy, PROMPT, 1);
    const logits = await toy.readLogits();
    expect(Array.from(logits, (logit, index) => logit * index).reduce((sum, value) => sum + value)).toBe(id);
    expect(logits.length).toBe(16);
  });

  test.each([1, 3])("samples draw by number and seed, whatever ran ahead: %i in flight", async (depth) => {
    const toy = await load();
    toy.setSampling({ temperature: 1, topK: 0, topP: 1, seed: 5 });
    const expected = [...PROMPT];
    for (let sample = 0; sample < 6; sample++) {
      expected.push(((oracleContinuation(expected, 1)[0] ?? 0) + 5 + sample) % 16);
    }
    await toy.fill(Uint32Array.from(PROMPT.slice(0, -1)));
    const first: number[] = [];
    for await (const id of toy.decode(PROMPT.at(-1) ?? 0, { depth })) if (first.push(id) === 2) break;
    const rest = await decode(toy, first.at(-1) ?? 0, 4, { depth });
    expect([...PROMPT, ...first, ...rest]).toEqual(expected);
  });
});

describe("filling", () => {
  test("reports each chunk, and takes an odd number of ids", async () => {
    const toy = await load();
    const done: number[] = [];
    await toy.fill(Uint32Array.from(PROMPT), { onChunk: (count) => done.push(count) });
    expect(done).toEqual([4, 8, 12, 14]);
    expect(toy.position).toBe(14);
  });

  test("more than the context holds is rejected before anything runs", async () => {
    const toy = await load();
    await toy.fill(new Uint32Array(60));
    await expect(toy.fill(new Uint32Array(5))).rejects.toThrow(ContextError);
    await expect(toy.fill(new Uint32Array(5))).rejects.toThrow(/has 65 tokens, but the context holds 64/);
    expect(toy.position).toBe(60);
  });

  test("after an abort the position counts the ids in the caches", async () => {
    const toy = await load();
    const controller = new AbortController();
    const onChunk = (done: number) => {
      if (done === 8) controller.abort();
    };
    const filling = toy.fill(Uint32Array.from(PROMPT), { signal: controller.signal, onChunk });
    await expect(filling).rejects.toBeInstanceOf(AbortError);
    expect(toy.position).toBe(8);
    expect(await answer(toy, PROMPT.slice(8), 5)).toEqual(oracleContinuation(PROMPT, 5));
  });
});

describe("caches that grow", () => {
  const FROM = 32;
  const touch = {
    kernel: "touch",
    bindings: ["late"],
    params: null,
    embeddings: null,
    grid: [["min", 1, ["max", 0, ["-", ["+", "P", "T"], FROM]]], 1, 1],
    label: "touch",
  } as const satisfies Dispatch;

  /** A toy with a cache of `bytes` bytes that steps bind after position FROM. */
  const growing = (bytes: number) =>
    toyBundle({
      plan: (plan) => {
        plan.buffers.late = { kind: "state", bytes, scale: 1, ring: null };
        plan.kernels.touch = {
          bindings: ["read_write"],
          forms: [{ file: "shaders/touch.wgsl", entry_point: "main", features: [], constants: {} }],
        };
        for (const program of Object.values(plan.programs)) program.dispatches.push({ ...touch, bindings: ["late"] });
        Object.assign(plan.limits, { maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 30 });
      },
      shaders: {
        "shaders/touch.wgsl":
          "@group(0) @binding(0) var<storage, read_write> late: array<u32>;\n" +
          "@compute @workgroup_size(1) fn main() { late[0] = 1; }",
      },
    });

  test("are created by the first step that uses them, in a prompt and in an answer", async () => {
    const toy = await load(growing(4096));
    const before = toy.stats.stateBytes;
    await toy.fill(new Uint32Array(FROM));
    expect(toy.stats.stateBytes).toBe(before);
    await toy.fill(Uint32Array.of(1));
    expect(toy.stats.stateBytes).toBe(before + 4096);
    toy.dispose();
    const other = await load(growing(4096));
    await other.fill(new Uint32Array(FROM - 1));
    await decode(other, 1, 1);
    expect(other.stats.stateBytes).toBe(before);
    await decode(other, 1, 1);
    expect(other.stats.stateBytes).toBe(before + 4096);
  });

  test.each([1, 3])("of which the GPU has no memory end the answer, not the engine: %i in flight", async (depth) => {
    // SwiftShader has less memory than its limits.
    const toy = await load(growing(2 ** 30));
    const before = toy.stats.stateBytes;
    const prompt = Array.from({ length: 40 }, (_, position) => position % 16);
    const filling = toy.fill(Uint32Array.from(prompt));
    await expect(filling).rejects.toThrow(ContextError);
    await expect(filling).rejects.toThrow(/no memory for a conversation of more than 32 tokens\. Start a new one/);
    expect([toy.position, toy.stats.stateBytes]).toEqual([FROM, before]);
    toy.reset();
    const start = prompt.slice(0, FROM - 2);
    await toy.fill(Uint32Array.from(start.slice(0, -1)));
    const expected = oracleContinuation(start, 3);
    expect(await decode(toy, start.at(-1) ?? 0, 100, { depth }), "what was said stays").toEqual(expected);
    expect(toy.position).toBe(FROM);
    await expect(decode(toy, 1, 1, { depth })).rejects.toThrow(/of more than 32 tokens/);
    toy.rewind(start.length - 1);
    expect(await decode(toy, start.at(-1) ?? 0, 2)).toEqual(expected.slice(0, 2));
  });
});

test("a snapshot for which the GPU has no memory is undefined", async () => {
  const large = { maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 30 };
  const toy = await load(toyBundle({ plan: (plan) => Object.assign(plan.limits, large) }));
  // SwiftShader has less memory than its limits.
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    return createBuffer.call(this, { ...descriptor, size: this.limits.maxBufferSize });
  };
  try {
    await toy.fill(Uint32Array.from(PROMPT.slice(0, -1)));
    expect(await toy.snapshot()).toBeUndefined();
  } finally {
    GPUDevice.prototype.createBuffer = createBuffer;
  }
  expect(await decode(toy, PROMPT.at(-1) ?? 0, 5)).toEqual(oracleContinuation(PROMPT, 5));
});

describe("going back", () => {
  test("a short rewind needs no snapshot", async () => {
    const toy = await load();
    await answer(toy, PROMPT, 6, { depth: 1 });
    const back = toy.position - 4;
    expect([toy.canRewind(back), toy.canRewind(back - 1)]).toEqual([true, false]);
    toy.rewind(back);
    const kept = [...PROMPT, ...oracleContinuation(PROMPT, 6)].slice(0, back);
    expect(await answer(toy, [11, 12], 5)).toEqual(oracleContinuation([...kept, 11, 12], 5));
  });

  test("a long one is rejected and restored from a snapshot, again and again", async () => {
    const toy = await load();
    await toy.fill(Uint32Array.from(PROMPT));
    const snapshot = (await toy.snapshot()) as Snapshot;
    expect(snapshot).toMatchObject({ position: PROMPT.length, bytes: 32 });
    for (const turn of [
      [7, 7, 7],
      [1, 2, 3],
    ]) {
      expect(await answer(toy, turn, 25)).toEqual(oracleContinuation([...PROMPT, ...turn], 25));
      expect(() => toy.rewind(PROMPT.length)).toThrow(ContextError);
      toy.restore(snapshot);
      expect(toy.position).toBe(PROMPT.length);
    }
    snapshot.dispose();
  });

  test("a reset starts over", async () => {
    const toy = await load();
    await answer(toy, [9, 9, 9], 30);
    toy.reset();
    expect(await answer(toy, PROMPT, 10)).toEqual(oracleContinuation(PROMPT, 10));
  });
});

describe("the rest", () => {
  test("a changed shader is swapped in, caches and weights as they are; a broken one is not", async () => {
    const files = toyBundle();
    const toy = await load(files);
    const text = String(files.get("shaders/score.wgsl"));
    const downloads = server?.requests.length;
    await toy.fill(Uint32Array.from(PROMPT.slice(0, -1)));
    await expect(toy.swapShader("shaders/score.wgsl", "nonsense")).rejects.toThrow(/score\.wgsl:1:1/);
    const [before] = await decode(toy, PROMPT.at(-1) ?? 0, 1);
    expect(before).toBe(oracleContinuation(PROMPT, 1)[0]);
    await toy.swapShader("shaders/score.wgsl", text.replace("sum % 16", "(sum + 1) % 16"));
    toy.rewind(PROMPT.length - 1);
    expect(await decode(toy, PROMPT.at(-1) ?? 0, 1)).toEqual([((before ?? 0) + 1) % 16]);
    expect(server?.requests.length).toBe(downloads);
  });

  test("calls that overlap are rejected", async () => {
    const toy = await load();
    const filling = toy.fill(Uint32Array.from(PROMPT));
    await expect(toy.fill(Uint32Array.of(1))).rejects.toThrow(UsageError);
    expect(() => toy.reset()).toThrow(/reset was called while fill was going on/);
    await filling;
    const loop = toy.decode(1);
    await loop.next();
    await expect(toy.snapshot()).rejects.toThrow(UsageError);
    await loop.return();
    (await toy.snapshot())?.dispose();
  });

  test("after dispose every call fails in words, and the device does not count as lost", async () => {
    const toy = await load();
    toy.dispose();
    await expect(toy.fill(Uint32Array.of(1))).rejects.toThrow(/disposed of. Load the model again/);
    await expect(decode(toy, 1, 1)).rejects.toBeInstanceOf(DeviceError);
    const silence = new Promise((resolve) => setTimeout(resolve, 50, "silence"));
    expect(await Promise.race([toy.lost, silence])).toBe("silence");
  });
});
