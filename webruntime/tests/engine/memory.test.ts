import { describe, expect, test } from "vitest";
import type { Residence } from "../../src/bundle/dispatches.ts";
import { chooseResidence, type HostEmbeddingsChoice, memoryNeed } from "../../src/bundle/memory.ts";
import { TextEngine } from "../../src/engine/text-engine.ts";
import { DeviceError } from "../../src/errors.ts";
import { serveFiles } from "../bundle/file-server.ts";
import { toyBundle, toyManifest } from "../bundle/toy-bundle.ts";
import { gpu } from "./gpu.ts";

const CONTEXT = 10;
const ENTRY = {
  file: "plan/f32.json",
  activation: "f32" as const,
  features: [],
  tokens: 4,
  memory: { weights: 100, embeddings: 1000, rows: 20, state: ["*", 2, "C"] as ["*", 2, "C"], scratch: 5 },
};
const ON_GPU = 100 + 1000 + 2 * CONTEXT + 5;
const ON_HOST = 100 + 20 + 2 * CONTEXT + 5;

test("a need is the sum of its parts, with per-layer embeddings or with their rows", () => {
  expect(memoryNeed(ENTRY, CONTEXT)).toEqual({ weights: 1100, state: 20, scratch: 5, total: ON_GPU });
  expect(memoryNeed(ENTRY, CONTEXT, "host").total).toBe(ON_HOST);
});

describe("per-layer embeddings", () => {
  const choose = (hostEmbeddings: HostEmbeddingsChoice, memory: number | undefined, storage = true, machine?: number) =>
    chooseResidence(ENTRY, CONTEXT, { hostEmbeddings, memory }, storage, machine);

  test.each<[HostEmbeddingsChoice, number | undefined, Residence[]]>([
    ["auto", undefined, ["gpu", "host"]],
    ["auto", ON_GPU, ["gpu", "host"]],
    ["auto", ON_GPU - 1, ["host"]],
    ["auto", ON_HOST, ["host"]],
    ["never", ON_GPU, ["gpu"]],
    ["always", undefined, ["host"]],
    ["always", ON_GPU, ["host"]],
  ])("%s with %s bytes: %s", (hostEmbeddings, memory, expected) => {
    expect(choose(hostEmbeddings, memory)).toEqual(expected);
  });

  test.each<[HostEmbeddingsChoice, number, Residence[]]>([
    ["auto", 2 * ON_GPU, ["gpu", "host"]],
    ["auto", 2 * ON_GPU - 1, ["host", "gpu"]],
    ["auto", ON_HOST, ["host", "gpu"]],
    ["never", ON_HOST, ["gpu"]],
  ])("%s on a machine of %s bytes, of which a tab may count on half: %s", (hostEmbeddings, machine, expected) => {
    expect(choose(hostEmbeddings, undefined, true, machine)).toEqual(expected);
    expect(choose(hostEmbeddings, undefined, false, machine), "without storage it is tried all the same").toEqual([
      "gpu",
    ]);
    expect(choose(hostEmbeddings, ON_GPU, true, machine)[0], "what the caller says counts more").toBe("gpu");
  });

  test.each<[HostEmbeddingsChoice, number]>([
    ["auto", ON_HOST - 1],
    ["never", ON_GPU - 1],
    ["always", ON_HOST - 1],
  ])("%s with %s bytes fit nowhere", (hostEmbeddings, memory) => {
    expect(() => choose(hostEmbeddings, memory)).toThrow(DeviceError);
    expect(() => choose(hostEmbeddings, memory)).toThrow(/more than the \d+ allowed\. Choose a smaller context/);
  });

  test("without storage they are on the GPU, or the error says why they must be", () => {
    expect(choose("auto", undefined, false)).toEqual(["gpu"]);
    expect(() => choose("auto", ON_GPU - 1, false)).toThrow(
      /keeps no files for the page.*1000 bytes.*needs 1125 bytes/,
    );
    expect(() => choose("always", undefined, false)).toThrow(/keeps no files/);
  });

  test("that a plan does not have need no storage", () => {
    const [entry] = toyManifest(toyBundle()).plans;
    expect(chooseResidence(entry as NonNullable<typeof entry>, CONTEXT, { hostEmbeddings: "always" }, false)).toEqual([
      "gpu",
    ]);
  });
});

test("a model that needs more than is allowed is rejected before the download", async () => {
  const server = await serveFiles(toyBundle(), { ranges: true });
  await expect(TextEngine.load(server.url, { gpu, memory: 100 })).rejects.toThrow(/more than the 100 allowed/);
  expect(server.requests.filter(({ path }) => path.startsWith("onnx/"))).toEqual([]);
  await server.close();
});
