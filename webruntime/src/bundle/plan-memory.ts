/** GPU memory that a plan takes, from the plan's own parts. Mirrors gemtab/bundle/memory.py. */

import { isFor, type Residence } from "./dispatches.ts";
import { evaluate, type Sizes } from "./expression.ts";
import { ENCODE, PARAMS_ALIGNMENT, ROWS, VECTOR_BYTES, VERIFY } from "./facts.gen.ts";
import type { Manifest } from "./manifest.gen.ts";
import type { Expr, Plan, Program } from "./plan.gen.ts";
import { isTower } from "./plan-sizes.ts";

const WORD = 4;

/** GPU bytes of the parts of a plan: the manifest's PlanMemory. */
export type PlanMemory = Manifest["plans"][number]["memory"];

/** The bytes of each part of `memory`, at these sizes. */
export function memoryAt(memory: PlanMemory, sizes: Sizes): Record<keyof PlanMemory, number> {
  const { weights, embeddings, rows, state, scratch } = memory;
  return { weights, embeddings, rows, state: evaluate(state, sizes), scratch: evaluate(scratch, sizes) };
}

/** The memory that an executor allocates for a plan, a tower's output rows included. */
export function planMemory(plan: Plan): PlanMemory {
  const buffers = Object.values(plan.buffers);
  const controls = buffers.flatMap((buffer) => (buffer.kind === "control" ? [allocated(buffer.bytes)] : []));
  // A tab does not load `verify`, which needs a draft model.
  const programs = Object.entries(plan.programs).filter(([name]) => name !== VERIFY);
  const slots = plan.slots.map((size) => (typeof size === "number" ? allocated(size) : size));
  const [forGpu, forHost] = [boundFor(plan, "gpu"), boundFor(plan, "host")];
  const states = Object.entries(plan.buffers).flatMap(([name, buffer]) =>
    buffer.kind === "state" && (forGpu.has(name) || forHost.has(name)) ? [buffer.bytes] : [],
  );
  const held = (wanted: (name: string) => boolean) => heldBytes(plan, wanted);
  return {
    weights: held((name) => forGpu.has(name) && forHost.has(name)),
    embeddings: held((name) => forGpu.has(name) && !forHost.has(name)),
    rows: held((name) => forHost.has(name) && !forGpu.has(name)),
    state: total(states),
    scratch: total([...slots, ...controls, ...programs.map(([, program]) => paramsBytes(program)), ...outputs(plan)]),
  };
}

function heldBytes(plan: Plan, wanted: (name: string) => boolean): number {
  let bytes = 0;
  for (const [name, buffer] of Object.entries(plan.buffers)) {
    if ((buffer.kind === "weight" || buffer.kind === "rows") && wanted(name)) bytes += allocated(buffer.bytes);
  }
  return bytes;
}

/** The names of the buffers that the dispatches bind with per-layer embeddings there. */
export function boundFor(plan: Plan, embeddings: Residence): Set<string> {
  const dispatches = Object.values(plan.programs).flatMap((program) => program.dispatches);
  return new Set(dispatches.filter((dispatch) => isFor(dispatch, embeddings)).flatMap(({ bindings }) => bindings));
}

/** The size of the GPU buffer for `bytes` bytes. Kernels may read a whole vector at the end of a value. */
export function allocated(bytes: number): number {
  return Math.ceil(bytes / VECTOR_BYTES) * VECTOR_BYTES;
}

function paramsBytes({ dispatches }: Program): number {
  return dispatches.reduce((sum, { params }) => sum + aligned((params?.length ?? 0) * WORD), 0);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / PARAMS_ALIGNMENT) * PARAMS_ALIGNMENT;
}

/** Sizes of the buffers for copies of outputs: a tower's rows. */
function outputs(plan: Plan): Expr[] {
  const rows = isTower(plan) ? plan.buffers[plan.programs[ENCODE]?.outputs[ROWS] ?? ""] : undefined;
  return rows?.kind === "scratch" ? [rows.bytes] : [];
}

/** The sum as a balanced tree, so that the sum of many terms is not nested deeply. */
function total(sizes: readonly Expr[]): Expr {
  if (sizes.length < 2) return sizes[0] ?? 0;
  const half = sizes.length >> 1;
  return ["+", total(sizes.slice(0, half)), total(sizes.slice(half))];
}
