/** GPU memory that a bundle takes by its manifest, and the choice of the residence of per-layer embeddings. */

import { DeviceError } from "../errors.ts";
import type { Residence } from "./dispatches.ts";
import { evaluate } from "./expression.ts";
import type { HOST_EMBEDDINGS_CHOICES } from "./facts.gen.ts";
import type { Manifest } from "./manifest.gen.ts";

/**
 * Whether per-layer embeddings stay on the host. auto: only if the model does not fit the given memory or the GPU with them,
 * or on a machine that reports little memory.
 */
export type HostEmbeddingsChoice = (typeof HOST_EMBEDDINGS_CHOICES)[number];

type PlanEntry = Manifest["plans"][number];

/** GPU bytes that a plan takes in its largest step. */
export interface MemoryNeed {
  /** Weights, with per-layer embeddings, or with the rows of those that are on the host. */
  weights: number;
  /** Caches. */
  state: number;
  /** Slots, control buffers, params and outputs. */
  scratch: number;
  /** The sum. */
  total: number;
}

/** The memory that a plan takes with this context, in tokens, and per-layer embeddings there (on the GPU by default). */
export function memoryNeed({ tokens, memory }: PlanEntry, context: number, embeddings: Residence = "gpu"): MemoryNeed {
  const sizes = { T: tokens, P: context, C: context };
  const weights = memory.weights + (embeddings === "gpu" ? memory.embeddings : memory.rows);
  const state = evaluate(memory.state, sizes);
  const scratch = evaluate(memory.scratch, sizes);
  return { weights, state, scratch, total: weights + state + scratch };
}

const OPTIONS: Record<HostEmbeddingsChoice, Residence[]> = { auto: ["gpu", "host"], never: ["gpu"], always: ["host"] };

/** Browsers report the machine's memory roughly, and at most this many GiB. */
const MAX_REPORTED_GIB = 8;
/** The share of the machine's memory that a tab can expect for GPU buffers. */
const SHARE_OF_MACHINE = 0.5;

/** The rough number of bytes of the machine's memory; undefined if the browser does not report it or it is not small. */
export function smallMachine(): number | undefined {
  const { deviceMemory } = (globalThis.navigator ?? {}) as { deviceMemory?: number };
  return deviceMemory !== undefined && deviceMemory < MAX_REPORTED_GIB ? deviceMemory * 2 ** 30 : undefined;
}

/** Whether `bytes` is more than a tab can expect of a machine with `machine` bytes; false for an unknown machine. */
export function isTight(bytes: number, machine: number | undefined): boolean {
  return machine !== undefined && bytes > machine * SHARE_OF_MACHINE;
}

/**
 * Chooses where per-layer embeddings are: the residence to try first, and then the one to try if memory runs out.
 *
 * Without `memory` no GPU is rejected: `machine` only decides which residence is tried first.
 *
 * @param context in tokens
 * @param options `memory`: most GPU bytes of the model, no bound by default; `hostEmbeddings`: `auto` by default
 * @param storage whether the browser has storage for the embeddings
 * @param machine bytes of the machine's memory, if it is small
 * @throws DeviceError if the plan does not fit `memory`, or only with storage that the browser does not have
 */
export function chooseResidence(
  entry: PlanEntry,
  context: number,
  options: { memory?: number | undefined; hostEmbeddings?: HostEmbeddingsChoice | undefined },
  storage: boolean,
  machine = smallMachine(),
): [Residence, ...Residence[]] {
  const { memory = Number.POSITIVE_INFINITY, hostEmbeddings = "auto" } = options;
  const allowed = entry.memory.embeddings > 0 ? OPTIONS[hostEmbeddings] : OPTIONS.never;
  const need = (embeddings: Residence) => memoryNeed(entry, context, embeddings).total;
  const fitting = allowed.filter((embeddings) => need(embeddings) <= memory);
  const [first, ...rest] = fitting.filter((embeddings) => embeddings === "gpu" || storage);
  if (first) {
    const [second] = rest;
    const tight = options.memory === undefined && isTight(need(first), machine);
    return tight && second ? [second, first] : [first, ...rest];
  }
  if (fitting.length > 0) throw noStorage(need("gpu"), entry.memory.embeddings);
  throw new DeviceError(
    `The model needs ${Math.min(...allowed.map(need))} bytes of the GPU's memory with a context of ${context} tokens, ` +
      `more than the ${memory} allowed. Choose a smaller context or a smaller model.`,
  );
}

function noStorage(needed: number, embeddings: number): DeviceError {
  return new DeviceError(
    `This browser keeps no files for the page, so the model's per-layer embeddings (${embeddings} bytes) cannot stay out ` +
      `of the GPU's memory, of which the model then needs ${needed} bytes. Open the page outside a private window or in a ` +
      "current browser, or choose a smaller model.",
  );
}

/**
 * GPU bytes of all towers of a bundle: their weights, and the largest scratch, since one tower runs at a time.
 */
export function towersNeed({ towers }: Manifest): number {
  const needs = [...towers.image, ...towers.audio].map((entry) => memoryNeed(entry, entry.tokens));
  const weights = needs.reduce((sum, need) => sum + need.weights, 0);
  return weights + Math.max(0, ...needs.map(({ scratch }) => scratch));
}
