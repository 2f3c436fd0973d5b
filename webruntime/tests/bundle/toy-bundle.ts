/**
 * A bundle with a plan that is small enough to write by hand, and its model in TypeScript as the oracle.
 *
 * The toy remembers ids in a full cache and in a ring. The next id is, modulo the vocabulary, the sum of the last WINDOW
 * ids (read from the ring), of the id in the middle (read from the full cache) and of the position's weight. Stale rows,
 * a wrong position or a weight at a wrong location change the next id. If the temperature is not 0, the seed and the
 * number of the sample are added.
 */

import { createHash } from "node:crypto";
import type { Manifest } from "../../src/bundle/manifest.gen.ts";
import type { Plan } from "../../src/bundle/plan.gen.ts";
import { planMemory } from "../../src/bundle/plan-memory.ts";
import { largestSizes } from "../../src/bundle/plan-sizes.ts";

export const VOCABULARY = 16;
export const WINDOW = 4;
export const ROWS = 8;
export const CONTEXT = 64;
export const CHUNK = 4;
export const SLICE = 256;
export const WEIGHTS_FILE = "onnx/toy.onnx_data";

/** Locations that test slices: `low` is in slices 0 and 1, nothing is in 2 and 3, and `high` is in 4 of 6. */
const LOW = { offset: SLICE - 16, bytes: 32 };
const HIGH = { offset: 4 * SLICE + 64, bytes: 32 };

const STEP = "struct Step { position: u32, tokens: u32, sampled: u32, unused: u32 }\n";

const SHADERS: Record<string, string> = {
  "shaders/store.wgsl": `${STEP}
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> ring: array<u32>;
@group(0) @binding(3) var<storage, read_write> full: array<u32>;
override ROWS: u32;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3u) {
  let position = step.position + group.x;
  ring[position % ROWS] = ids[group.x];
  full[position] = ids[group.x];
}`,
  "shaders/score.wgsl": `${STEP}
struct Params { window: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ring: array<u32>;
@group(0) @binding(2) var<storage, read> full: array<u32>;
@group(0) @binding(3) var<storage, read> low: array<u32>;
@group(0) @binding(4) var<storage, read> high: array<u32>;
@group(0) @binding(5) var<storage, read_write> logits: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;
@compute @workgroup_size(1) fn main() {
  let position = step.position;
  var sum = full[position / 2];
  for (var back = 0u; back < min(params.window, position + 1); back++) { sum += ring[(position - back) % params.rows]; }
  let row = position % 16;
  if (row < 8) { sum += low[row]; } else { sum += high[row - 8]; }
  for (var id = 0u; id < 16; id++) { logits[id] = select(0f, 1f, id == sum % 16); }
}`,
  "shaders/sample.wgsl": `${STEP}
struct Sampling { temperature: f32, top_k: u32, top_p: f32, seed: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> sampling: Sampling;
@group(0) @binding(2) var<storage, read_write> step: Step;
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> sampled: array<u32>;
@compute @workgroup_size(1) fn main() {
  var best = 0u;
  for (var id = 0u; id < 16; id++) { if (logits[id] > logits[best]) { best = id; } }
  if (sampling.temperature > 0) { best = (best + sampling.seed + step.sampled) % 16; }
  ids[0] = best;
  sampled[step.sampled % 8] = best;
  step.sampled += 1;
  step.position += step.tokens;
}`,
  "shaders/advance.subgroups.wgsl": `${STEP}
@group(0) @binding(0) var<storage, read_write> step: Step;
@compute @workgroup_size(1) fn main() { step.position = subgroupMax(step.position + step.tokens); }`,
  "shaders/advance.wgsl": `${STEP}
@group(0) @binding(0) var<storage, read_write> step: Step;
@compute @workgroup_size(1) fn main() { step.position += step.tokens; }`,
};

const form = (name: string, constants = {}) => ({
  file: `shaders/${name}.wgsl`,
  entry_point: "main",
  features: [],
  constants,
});

export function toyPlan(): Plan {
  const store = {
    kernel: "store",
    bindings: ["step", "ids", "ring", "full"],
    params: null,
    embeddings: null,
    label: "store",
  };
  return {
    format: 1,
    activation: "f32",
    features: [],
    limits: {
      maxStorageBufferBindingSize: 65536,
      maxBufferSize: 65536,
      maxStorageBuffersPerShaderStage: 8,
      maxComputeWorkgroupStorageSize: 16384,
      maxComputeInvocationsPerWorkgroup: 256,
      maxComputeWorkgroupsPerDimension: 65535,
    },
    context: CONTEXT,
    vocabulary: VOCABULARY,
    sampled_ring: 8,
    slots: [VOCABULARY * 4],
    buffers: {
      ids: { kind: "control", role: "ids", bytes: CHUNK * 4 },
      step: { kind: "control", role: "step", bytes: 16 },
      sampling: { kind: "control", role: "sampling", bytes: 16 },
      sampled: { kind: "control", role: "sampled", bytes: 32 },
      ring: { kind: "state", bytes: ROWS * 4, scale: 1, ring: { rows: ROWS, window: WINDOW } },
      full: { kind: "state", bytes: ["*", "C", 4], scale: 1, ring: null },
      unused: { kind: "state", bytes: 65536, scale: 1, ring: null },
      low: { kind: "weight", file: WEIGHTS_FILE, ...LOW },
      high: { kind: "weight", file: WEIGHTS_FILE, ...HIGH },
      logits: { kind: "scratch", slot: 0, bytes: VOCABULARY * 4 },
    },
    kernels: {
      store: { bindings: ["read", "read", "read_write", "read_write"], forms: [form("store", { ROWS })] },
      score: { bindings: ["read", "read", "read", "read", "read", "read_write", "uniform"], forms: [form("score")] },
      sample: { bindings: ["read", "read", "read_write", "read_write", "read_write"], forms: [form("sample")] },
      advance: {
        bindings: ["read_write"],
        forms: [{ ...form("advance.subgroups"), features: ["subgroups"] }, form("advance")],
      },
    },
    programs: {
      fill: {
        max_tokens: CHUNK,
        dispatches: [
          { ...store, grid: ["T", 1, 1] },
          { kernel: "advance", bindings: ["step"], params: null, embeddings: null, grid: [1, 1, 1], label: "advance" },
        ],
        inputs: {},
        outputs: {},
      },
      decode: {
        max_tokens: 1,
        dispatches: [
          { ...store, grid: [1, 1, 1] },
          {
            kernel: "score",
            bindings: ["step", "ring", "full", "low", "high", "logits"],
            params: [WINDOW, ROWS],
            embeddings: null,
            grid: [["min", 1, ["ceildiv", ["+", "P", "T"], "C"]], 1, 1],
            label: "score",
          },
          // A dispatch with a 0 in its grid is skipped. Otherwise this one would sample twice.
          {
            kernel: "sample",
            bindings: ["logits", "sampling", "step", "ids", "sampled"],
            params: null,
            embeddings: null,
            grid: [["-", "T", 1], 1, 1],
            label: "never",
          },
          {
            kernel: "sample",
            bindings: ["logits", "sampling", "step", "ids", "sampled"],
            params: null,
            embeddings: null,
            grid: [1, 1, 1],
            label: "sample",
          },
        ],
        inputs: {},
        outputs: { logits: "logits" },
      },
    },
  };
}

const weight = (row: number) => (7 * row + 3) % 23;

function weightsFile(): Buffer {
  const file = Buffer.alloc(6 * SLICE - 100, 0xee);
  for (let row = 0; row < 8; row++) {
    file.writeUInt32LE(weight(row), LOW.offset + 4 * row);
    file.writeUInt32LE(weight(row + 8), HIGH.offset + 4 * row);
  }
  return file;
}

/** The id that the toy samples after `ids`. */
export function oracle(ids: readonly number[]): number {
  const position = ids.length - 1;
  const recent = ids.slice(-WINDOW).reduce((sum, id) => sum + id, 0);
  return (recent + (ids[position >> 1] ?? 0) + weight(position % 16)) % VOCABULARY;
}

/** The `count` ids that follow `ids`. */
export function oracleContinuation(ids: readonly number[], count: number): number[] {
  const all = [...ids];
  for (let step = 0; step < count; step++) all.push(oracle(all));
  return all.slice(ids.length);
}

export type Files = Map<string, Buffer>;

/** The files of a toy bundle, with the manifest of the other files. */
export function toyBundle(change: { plan?: (plan: Plan) => void; shaders?: Record<string, string> } = {}): Files {
  const plan = toyPlan();
  change.plan?.(plan);
  const halved: Plan = { ...plan, activation: "f16", features: ["shader-f16"] };
  const files: Files = new Map([
    [WEIGHTS_FILE, weightsFile()],
    ["plan/f16.json", Buffer.from(JSON.stringify(halved))],
    ["plan/f32.json", Buffer.from(JSON.stringify(plan))],
    ...Object.entries({ ...SHADERS, ...change.shaders }).map(([name, text]): [string, Buffer] => [
      name,
      Buffer.from(text),
    ]),
  ]);
  files.set("gemtab.json", Buffer.from(JSON.stringify(toyManifest(files))));
  return files;
}

/** The manifest of a toy bundle, with the entry of the plan among the files. */
export function toyManifest(files: Files): Manifest {
  const plan: Plan = JSON.parse(String(files.get("plan/f32.json") ?? JSON.stringify(toyPlan())));
  const stated = { tokens: largestSizes(plan).T, memory: planMemory(plan) };
  return {
    format: 1,
    gemtab: "0.1.0",
    source: { name: "toy", repository: null, model_type: "toy", licence: null, adapters: [] },
    grid: null,
    weights: "f32",
    context: plan.context,
    inputs: ["text"],
    plans: [
      { file: "plan/f16.json", activation: "f16", features: ["shader-f16"], ...stated },
      { file: "plan/f32.json", activation: "f32", features: [], ...stated },
    ],
    towers: { image: [], audio: [] },
    draft: null,
    no_transformers_js: null,
    notes: [],
    files: Object.fromEntries([...files].map(([name, data]) => [name, fileEntry(data)])),
  };
}

export function fileEntry(data: Buffer, sliceBytes = SLICE): Manifest["files"][string] {
  const sha256: string[] = [];
  for (let start = 0; start === 0 || start < data.length; start += sliceBytes) {
    sha256.push(
      createHash("sha256")
        .update(data.subarray(start, start + sliceBytes))
        .digest("hex"),
    );
  }
  return { bytes: data.length, slice_bytes: sliceBytes, sha256 };
}
