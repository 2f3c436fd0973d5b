/**
 * Compiles compute shaders with Tint, Chrome's WGSL compiler, through Dawn's null backend: no GPU is needed.
 *
 *   node webruntime/scripts/validate-wgsl.mjs < shaders.json
 *   node webruntime/scripts/validate-wgsl.mjs [--features shader-f16,subgroups] FILE…
 *
 * Standard input, where no files are named, is a JSON list of { name, code, features, entry, constants, bindings }:
 * `features`, `constants` and `bindings` as in gemtab.bundle.plan's Form and Kernel, `code` without `enable` lines. The
 * whole pipeline is made, since errors that depend on overrides or on the layout show only then; where `bindings` is
 * absent, as for files, the layout is the shader's own.
 *
 * Prints one line for each error and ends with 1 where there was any.
 */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);

const EXTENSIONS = { "shader-f16": "f16", subgroups: "subgroups" };
const BINDING_TYPES = { read: "read-only-storage", read_write: "storage", uniform: "uniform" };

function readShaders() {
  const { values, positionals } = parseArgs({ options: { features: { type: "string" } }, allowPositionals: true });
  if (positionals.length === 0) return JSON.parse(readFileSync(0, "utf8"));
  const features = values.features?.split(",") ?? [];
  return positionals.map((name) => ({ name, code: readFileSync(name, "utf8"), features, entry: "main" }));
}

function layoutOf(device, { name, bindings }) {
  if (!bindings) return "auto";
  const entries = bindings.map((binding, index) => ({
    binding: index,
    visibility: GPUShaderStage.COMPUTE,
    buffer: { type: BINDING_TYPES[binding] },
  }));
  const group = device.createBindGroupLayout({ label: name, entries });
  return device.createPipelineLayout({ label: name, bindGroupLayouts: [group] });
}

/** Return the errors of one shader. */
async function validate(device, shader) {
  const { name, code, features = [], entry = "main", constants = {} } = shader;
  device.pushErrorScope("validation");
  // On one line with the shader's first, so that line numbers stay.
  const enable = features.map((feature) => `enable ${EXTENSIONS[feature]}; `).join("");
  const module = device.createShaderModule({ label: name, code: enable + code });
  device.createComputePipeline({
    label: name,
    layout: layoutOf(device, shader),
    compute: { module, entryPoint: entry, constants },
  });
  const [error, { messages }] = await Promise.all([device.popErrorScope(), module.getCompilationInfo()]);
  const errors = messages.filter(({ type }) => type === "error");
  if (errors.length > 0) return errors.map((at) => `${name}:${at.lineNum}:${at.linePos}: ${at.message}`);
  return error ? [`${name}: ${error.message}`] : [];
}

// Kept to the end: after its collection, Dawn's threads would abort.
const gpu = create(["backend=null"]);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ["shader-f16", "subgroups"] });
for (const shader of readShaders()) {
  for (const error of await validate(device, shader)) {
    console.error(error);
    process.exitCode = 1;
  }
}
device.destroy();
globalThis.gpu = gpu;
