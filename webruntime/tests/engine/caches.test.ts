/** Caches that two plans share, as a model and its draft model do. */

import { afterEach, beforeEach, expect, test } from "vitest";
import { Bundle } from "../../src/bundle/bundle.ts";
import type { Plan } from "../../src/bundle/plan.gen.ts";
import { Caches } from "../../src/engine/caches.ts";
import { Decoder } from "../../src/engine/decode.ts";
import { fill } from "../../src/engine/fill.ts";
import { loadTextPlan } from "../../src/engine/load.ts";
import { GpuWork } from "../../src/engine/work.ts";
import { BundleError, ContextError, UsageError } from "../../src/errors.ts";
import { type FileServer, serveFiles } from "../bundle/file-server.ts";
import { CONTEXT, oracleContinuation, toyBundle } from "../bundle/toy-bundle.ts";
import { gpu } from "./gpu.ts";

const PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7];

let server: FileServer;
let bundle: Bundle;
let plan: Plan;
let work: GpuWork;

beforeEach(async () => {
  server = await serveFiles(toyBundle());
  bundle = await Bundle.open(server.url);
  const entry = bundle.plans.find(({ activation }) => activation === "f32");
  plan = await bundle.plan(entry?.file ?? "");
  const adapter = (await gpu.requestAdapter()) as GPUAdapter;
  work = new GpuWork(await adapter.requestDevice());
});

afterEach(async () => {
  work.dispose();
  await server.close();
});

async function take(decoder: Decoder, id: number, count: number): Promise<number[]> {
  const ids: number[] = [];
  for await (const next of decoder.run(id, { maxTokens: count })) ids.push(next);
  return ids;
}

test("a second plan goes on where the first left off, on the same caches", async () => {
  const caches = new Caches(work.device, plan, CONTEXT);
  const first = await loadTextPlan(work, bundle, plan, { caches });
  const second = await loadTextPlan(work, bundle, plan, { caches });
  const { bytes } = caches;
  await fill(first, Uint32Array.from(PROMPT.slice(0, -1)));
  const ids = await take(new Decoder(second), PROMPT.at(-1) ?? 0, 5);
  expect(second.caches.position).toBe(PROMPT.length - 1 + 5);
  expect(first.caches.position).toBe(second.caches.position);
  ids.push(...(await take(new Decoder(first), ids.at(-1) ?? 0, 5)));
  expect(ids).toEqual(oracleContinuation(PROMPT, 10));
  expect(caches.bytes, "made once").toBe(bytes);
});

test("a plan that needs other caches is refused, and names the first that differs", async () => {
  const caches = new Caches(work.device, plan, CONTEXT);
  const other = structuredClone(plan);
  const [name, entry] = Object.entries(other.buffers).find(([, { kind }]) => kind === "state") ?? [];
  if (entry?.kind === "state") entry.scale *= 2;
  await expect(loadTextPlan(work, bundle, other, { caches })).rejects.toThrow(BundleError);
  expect(() => caches.check(other)).toThrow(new RegExp(`cache ${name} is not one of the caches`));
  expect(() => caches.check({ ...plan, buffers: {} })).not.toThrow();
});

test("position, remaining tokens and growth need no model", async () => {
  const caches = new Caches(work.device, plan, CONTEXT);
  expect(() => caches.checkRemaining(CONTEXT)).not.toThrow();
  caches.wrote(3);
  caches.advance(2);
  expect(caches.position).toBe(2);
  expect(() => caches.checkRemaining(CONTEXT - 1)).toThrow(ContextError);
  const [name] = Object.entries(plan.buffers).find(([, { kind }]) => kind === "state") ?? [""];
  expect(() => caches.buffer(name)).toThrow(UsageError);
  await caches.ensure([name, "no cache"], 1);
  expect(caches.buffer(name).size).toBe(caches.bytes);
  expect(caches.missing([name, "no cache"])).toEqual([]);
});
