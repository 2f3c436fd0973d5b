/** Uses the engine, by token ids. The engine stays in the global `engine` where a test takes several steps. */

import type { EngineLoadOptions, EngineStats, TextEngine } from "../../webruntime/src/engine/index.ts";
import { base64Of, bundleAt, bytesOf, importEngine } from "./site.ts";

declare global {
  var engine: TextEngine;
  var reads: number;
  var allocated: () => number;
}

const GREEDY = { temperature: 0, topK: 0, topP: 1, seed: 0 };

/** Load a bundle. Returns its statistics. */
export async function load([site, bundle, options]: [string, string, EngineLoadOptions?]): Promise<EngineStats> {
  const { TextEngine } = await importEngine(site);
  globalThis.engine = await TextEngine.load(bundleAt(site, bundle), options);
  return engine.stats;
}

/** Load a bundle with greedy answers. Returns its statistics. */
export async function loadGreedy(given: [string, string]): Promise<EngineStats> {
  const stats = await load(given);
  engine.setSampling(GREEDY);
  return stats;
}

interface Timed {
  ids: number[];
  /** The milliseconds from the start. */
  times: number[];
}

/** Return the ids after a prompt, and the time of each. */
export async function run([prompt, steps]: [number[], number]): Promise<Timed> {
  engine.reset();
  const ids: number[] = [];
  const times: number[] = [];
  const start = performance.now();
  await engine.fill(Uint32Array.from(prompt.slice(0, -1)));
  for await (const id of engine.decode(last(prompt), { maxTokens: steps })) {
    times.push(performance.now() - start);
    ids.push(id);
  }
  return { ids, times };
}

function last(ids: readonly number[]): number {
  const id = ids.at(-1);
  if (id === undefined) throw new Error("There is no id.");
  return id;
}

interface Medium {
  tower: "image" | "audio";
  position: number;
  tokens: number;
  rows: number;
  inputs: Record<string, { type: string; data: string }>;
}

/**
 * Run a turn of a conversation. Returns the chosen ids. After an id that differs from `wanted`, the turn continues with
 * the id of `wanted`.
 */
export async function turn([prompt, media, wanted]: [number[], Medium[], number[]]): Promise<number[]> {
  const positioned = [];
  for (const { tower, position, tokens, rows, inputs } of media) {
    const arrays = Object.entries(inputs).map(([name, { type, data }]) => {
      const bytes = bytesOf(data).buffer;
      return [name, type === "f" ? new Float32Array(bytes) : new Uint32Array(bytes)];
    });
    const made = await (await engine.tower(tower)).encode(Object.fromEntries(arrays), { tokens, rows });
    positioned.push({ position, rows: made, bidirectional: tower === "image" });
  }
  await engine.fill(Uint32Array.from(prompt.slice(0, -1)), { media: positioned });
  const chosen: number[] = [];
  let next = last(prompt);
  while (chosen.length < wanted.length) {
    for await (const id of engine.decode(next, { maxTokens: wanted.length - chosen.length })) {
      chosen.push(id);
      next = wanted[chosen.length - 1] ?? id;
      if (id !== next) break;
    }
  }
  return chosen;
}

/** Return the ids after a prompt, by a newly loaded engine. */
export async function answer([site, bundle, options, ids]: [string, string, EngineLoadOptions, number[]]): Promise<{
  chosen: number[];
  stats: EngineStats;
}> {
  await load([site, bundle, options]);
  await engine.fill(Uint32Array.from(ids.slice(0, -1)));
  const chosen = [];
  for await (const id of engine.decode(last(ids), { maxTokens: 12 })) chosen.push(id);
  const { stats } = engine;
  engine.dispose();
  return { chosen, stats };
}

/** Return the error message of a load, or "" where there is none. */
export async function refusal(given: [string, string, EngineLoadOptions]): Promise<string> {
  try {
    await load(given);
    engine.dispose();
    return "";
  } catch (error) {
    const { name, message } = error as Error;
    return `${name}: ${message}`;
  }
}

/** Limit the memory of each of the page's GPU devices to `budget` bytes. */
export function limitMemory(budget: number): void {
  // Beyond the budget, the real call gets an impossible size.
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = function (descriptor) {
    const { maxBufferSize } = this.limits;
    const requiredLimits = { ...descriptor?.requiredLimits, maxBufferSize };
    return requestDevice.call(this, { ...descriptor, requiredLimits });
  };
  const left = new WeakMap<GPUDevice, number>();
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const remaining = (left.get(this) ?? budget) - descriptor.size;
    left.set(this, remaining);
    const size = remaining < 0 ? this.limits.maxBufferSize : descriptor.size;
    return createBuffer.call(this, { ...descriptor, size });
  };
}

/** Count, in the global `reads`, the reads of files. */
export function countReads(): void {
  globalThis.reads = 0;
  const { slice } = Blob.prototype;
  Blob.prototype.slice = function (...range) {
    if (this instanceof File) globalThis.reads += 1;
    return slice.apply(this, range);
  };
}

/**
 * Return how often the file of the host's embeddings is read for new tokens, for the same ones again, and for others.
 */
export async function readsOfTables([site, bundle]: [string, string]): Promise<number[]> {
  await load([site, bundle, { hostEmbeddings: "always" }]);
  const readFor = async (first: number) => {
    const before = reads;
    await engine.fill(Uint32Array.from({ length: 40 }, (_, i) => first + (i % 20)));
    return reads - before;
  };
  const found = [await readFor(30), await readFor(30), await readFor(60)];
  engine.dispose();
  return found;
}

/** Return the sizes of the origin's stored files. */
export async function storedSizes(): Promise<number[]> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("gemtab-embeddings");
  const sizes = [];
  for await (const file of folder.values()) sizes.push((await (file as FileSystemFileHandle).getFile()).size);
  return sizes;
}

/** Count, in the global `allocated`, the GPU bytes that are allocated and not destroyed. */
export function countAllocations(): void {
  const live = new Map<GPUBuffer, number>();
  const { createBuffer } = GPUDevice.prototype;
  const { destroy } = GPUBuffer.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    live.set(buffer, buffer.size);
    return buffer;
  };
  GPUBuffer.prototype.destroy = function () {
    live.delete(this);
    return destroy.call(this);
  };
  globalThis.allocated = () => [...live.values()].reduce((sum, size) => sum + size, 0);
}

type Allocated = [EngineStats, number];

export async function loadCounted([site, bundle, context]: [string, string, number | null]): Promise<Allocated> {
  return [await load([site, bundle, { context: context ?? undefined }]), allocated()];
}

export async function runCounted(ids: number[]): Promise<Allocated> {
  await engine.fill(Uint32Array.from(ids.slice(0, -1)));
  for await (const _ of engine.decode(last(ids), { maxTokens: 4 }));
  return [engine.stats, allocated()];
}

interface Seen {
  resident: Allocated;
  most: number;
  after: number;
}

/**
 * Return the allocated bytes with the image tower loaded, their maximum while it encodes, and the bytes afterwards.
 * side: in patches.
 */
export async function seeCounted([side, tokens]: [number, number]): Promise<Seen> {
  const tower = await engine.tower("image");
  const resident: Allocated = [engine.stats, allocated()];
  const positions = Uint32Array.from({ length: side * side * 2 }, (_, i) =>
    i % 2 ? Math.floor(i / 2 / side) : (i / 2) % side,
  );
  let most = 0;
  const { submit } = GPUQueue.prototype;
  GPUQueue.prototype.submit = function (commands) {
    most = Math.max(most, allocated());
    return submit.call(this, commands);
  };
  const inputs = { pixel_values: new Float32Array(side * side * 768), pixel_position_ids: positions };
  const rows = await tower.encode(inputs, { tokens, rows: side * side });
  GPUQueue.prototype.submit = submit;
  rows.dispose();
  return { resident, most, after: allocated() };
}

export const fill = (ids: number[]): Promise<void> => engine.fill(Uint32Array.from(ids));

/** Return the id after `id`, and its logits, as bytes. */
export async function step(id: number): Promise<{ chosen: number | undefined; logits: string }> {
  let chosen: number | undefined;
  for await (const next of engine.decode(id, { maxTokens: 1, depth: 1 })) chosen = next;
  return { chosen, logits: base64Of(new Uint8Array((await engine.readLogits()).buffer)) };
}

/** Return the GPU's optional features, or null without a GPU. */
export async function features(): Promise<string[] | null> {
  const adapter = await navigator.gpu?.requestAdapter();
  return adapter ? [...adapter.features] : null;
}

/** Return the GPU's name, or null without a GPU. */
export async function adapterName(): Promise<string | null> {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return null;
  const { vendor, architecture, description } = adapter.info;
  return [vendor, architecture, description].join(" ").trim();
}
