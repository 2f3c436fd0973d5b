/**
 * The toy with a tower that makes rows, and a `fill` that remembers numbers from rows instead of the ids of placeholders.
 *
 * Row t of the tower's output is [input t * SCALE + rows of the input, -1]; only the first is remembered, as a whole
 * number. If the tokens of an image see each other, the number of positions that a token sees after its own is added.
 */

import type { Manifest } from "../../src/bundle/manifest.gen.ts";
import type { Plan } from "../../src/bundle/plan.gen.ts";
import { CHUNK, type Files, fileEntry, ROWS, toyBundle, toyPlan } from "./toy-bundle.ts";

export const PLACEHOLDER = 15;
export const SCALE = 3;
/** Most tokens that the tower encodes. */
export const TOWER_TOKENS = 6;
export const TOWER_WEIGHTS = "onnx/toy_tower.onnx_data";
export const TOWER_PLAN = "plan/image.f32.json";
const HIDDEN = 2;

const STEP = "struct Step { position: u32, tokens: u32, sampled: u32, rows: u32 }\n";

const remember = (sees: string, visible: string) => `${STEP}
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> media: array<f32>;
@group(0) @binding(3) var<storage, read_write> ring: array<u32>;
@group(0) @binding(4) var<storage, read_write> full: array<u32>;
${visible}
override ROWS: u32;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3u) {
  let position = step.position + group.x;
  let row = u32(media[group.x * ${HIDDEN}]);
  let value = select(ids[group.x], row, ids[group.x] == ${PLACEHOLDER}) + ${sees};
  ring[position % ROWS] = value;
  full[position] = value;
}`;

const TOWER_SHADERS = {
  "shaders/remember.wgsl": remember("0", ""),
  "shaders/remember-visible.wgsl": remember(
    "visible[group.x] - position",
    "@group(0) @binding(5) var<storage, read> visible: array<u32>;",
  ),
  "shaders/scale.wgsl": `
@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> scaled: array<f32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3u) {
  scaled[group.x] = input[group.x] * weight[0];
}`,
  "shaders/lay.wgsl": `${STEP}
@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> scaled: array<f32>;
@group(0) @binding(2) var<storage, read_write> rows: array<f32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3u) {
  rows[group.x * ${HIDDEN}] = scaled[group.x] + f32(step.rows);
  rows[group.x * ${HIDDEN} + 1] = -1;
}`,
};

const form = (name: string, constants = {}) => ({
  file: `shaders/${name}.wgsl`,
  entry_point: "main",
  features: [],
  constants,
});

export function toyTowerPlan(): Plan {
  const { limits } = toyPlan();
  return {
    format: 1,
    activation: "f32",
    features: [],
    limits,
    context: TOWER_TOKENS,
    vocabulary: 0,
    sampled_ring: 0,
    slots: [
      ["*", 4, "T"],
      ["*", 4, "T"],
      ["*", 4 * HIDDEN, "T"],
    ],
    buffers: {
      step: { kind: "control", role: "step", bytes: 16 },
      weight: { kind: "weight", file: TOWER_WEIGHTS, offset: 8, bytes: 4 },
      input: { kind: "scratch", slot: 0, bytes: ["*", 4, "T"] },
      scaled: { kind: "scratch", slot: 1, bytes: ["*", 4, "T"] },
      rows: { kind: "scratch", slot: 2, bytes: ["*", 4 * HIDDEN, "T"] },
    },
    kernels: {
      scale: { bindings: ["read", "read", "read_write"], forms: [form("scale")] },
      lay: { bindings: ["read", "read", "read_write"], forms: [form("lay")] },
    },
    programs: {
      encode: {
        max_tokens: TOWER_TOKENS,
        // More dispatches than one submit has, so that the tower runs in parts.
        dispatches: [
          ...Array.from({ length: 9 }, () => ({
            kernel: "scale",
            bindings: ["input", "weight", "scaled"],
            params: null,
            embeddings: null,
            grid: ["T", 1, 1] as Plan["programs"][string]["dispatches"][number]["grid"],
            label: "scale",
          })),
          {
            kernel: "lay",
            bindings: ["step", "scaled", "rows"],
            params: null,
            embeddings: null,
            grid: ["T", 1, 1],
            label: "lay",
          },
        ],
        inputs: { pixels: "input" },
        outputs: { rows: "rows" },
      },
    },
  };
}

/** The toy's text plan, with a `fill` that takes media. */
export function seeing(plan: Plan, visible: boolean): void {
  const name = visible ? "remember-visible" : "remember";
  const bindings = ["step", "ids", "media", "ring", "full", ...(visible ? ["visible"] : [])];
  plan.buffers.media = { kind: "control", role: "media", bytes: CHUNK * HIDDEN * 4 };
  if (visible) plan.buffers.visible = { kind: "control", role: "visible", bytes: CHUNK * 4 };
  plan.kernels.remember = {
    bindings: ["read", "read", "read", "read_write", "read_write", ...(visible ? (["read"] as const) : [])],
    forms: [form(name, { ROWS })],
  };
  plan.programs.fill?.dispatches.splice(0, 1, {
    kernel: "remember",
    bindings,
    params: null,
    embeddings: null,
    grid: ["T", 1, 1],
    label: "remember",
  });
}

/** The memory that an export states: a weight, `step`, slots and output rows. */
const TOWER_MEMORY: Manifest["plans"][number]["memory"] = {
  weights: 16,
  embeddings: 0,
  rows: 0,
  state: 0,
  scratch: ["+", 16, ["*", 8 + 8 * HIDDEN, "T"]],
};

export interface MediaChange {
  visible?: boolean;
  plan?: (plan: Plan) => void;
  tower?: (plan: Plan) => void;
}

/** A bundle of the toy with a tower. */
export function mediaBundle({ visible = false, plan: changePlan, tower: changeTower }: MediaChange = {}): Files {
  const files = toyBundle({
    plan: (plan) => {
      seeing(plan, visible);
      changePlan?.(plan);
    },
    shaders: TOWER_SHADERS,
  });
  const tower = toyTowerPlan();
  changeTower?.(tower);
  const weights = Buffer.alloc(12);
  weights.writeFloatLE(SCALE, 8);
  files.set(TOWER_WEIGHTS, weights);
  files.set(TOWER_PLAN, Buffer.from(JSON.stringify(tower)));
  const manifest = JSON.parse(String(files.get("gemtab.json")));
  manifest.inputs = ["text", "image"];
  manifest.towers.image = [
    { file: TOWER_PLAN, activation: "f32", features: [], tokens: TOWER_TOKENS, memory: TOWER_MEMORY },
  ];
  for (const name of [TOWER_WEIGHTS, TOWER_PLAN]) manifest.files[name] = fileEntry(files.get(name) as Buffer);
  files.set("gemtab.json", Buffer.from(JSON.stringify(manifest)));
  return files;
}

/** The numbers that the toy remembers for an image of these pixels at `position`. */
export function remembered(pixels: readonly number[], { visible = false } = {}): number[] {
  return pixels.map((pixel, index) => {
    const beyond = visible ? pixels.length - 1 - index : 0;
    return pixel * SCALE + pixels.length + beyond;
  });
}
