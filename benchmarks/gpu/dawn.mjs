/**
 * WebGPU in Node, as the engine is given it: Dawn, which Chrome uses too, with timestamps that are not rounded.
 *
 * NVIDIA's, AMD's and Intel's drivers are found by the Vulkan loader; VK_DRIVER_FILES names another, such as
 * SwiftShader's.
 */

import { create, globals } from "webgpu";
import { Recorder } from "./recorder.mjs";

Object.assign(globalThis, globals);

/**
 * Browsers round timestamps to 100 µs, more than most kernels take. Dawn keeps f16 from NVIDIA's Vulkan driver, though
 * the same GPUs have it in Chrome on Windows: `--plan f32` measures what Chrome on Linux runs there.
 */
const FLAGS = ["disable-dawn-features=timestamp_quantization", "enable-dawn-features=vulkan_enable_f16_on_nvidia"];

/** Held to the end: once Dawn's instance is collected, its threads find it gone and abort. */
const dawn = create(FLAGS);

/** The GPU for `engine`: adapters whose devices have timestamps, and a recorder that sees the passes of these devices. */
export function openGpu() {
  const recorder = new Recorder();
  const requestAdapter = async (options) => {
    const adapter = await dawn.requestAdapter(options);
    if (!adapter) return adapter;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor = {}) => {
      const more = adapter.features.has("timestamp-query") ? ["timestamp-query"] : [];
      const device = await requestDevice({
        ...descriptor,
        requiredFeatures: [...(descriptor.requiredFeatures ?? []), ...more],
      });
      recorder.watch(device);
      return device;
    };
    return adapter;
  };
  return { gpu: { requestAdapter }, recorder };
}

/** The adapter's names, driver, sizes of subgroups and features. Throws Error where there is none. */
export async function describeAdapter() {
  const adapter = await dawn.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("No GPU was found. Is there a Vulkan driver, or does VK_DRIVER_FILES name one?");
  const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } = adapter.info;
  return {
    vendor,
    architecture,
    device,
    driver: description,
    subgroups: [subgroupMinSize, subgroupMaxSize],
    features: [...adapter.features].sort(),
    limits: {
      maxBufferSize: adapter.limits.maxBufferSize,
      maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize,
      maxComputeWorkgroupStorageSize: adapter.limits.maxComputeWorkgroupStorageSize,
    },
  };
}

const COPY_BYTES = 2 ** 28;
const COPIES = 8;
const SLOW_GBS = 4;
const WORKGROUPS = 16384;
const COPY = `
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> copy: array<vec4<u32>>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    for (var i = id.x; i < arrayLength(&copy); i += ${WORKGROUPS * 256}u) {
        copy[i] = source[i];
    }
}`;

/**
 * GB/s of a kernel that copies 256 MiB, bytes read and bytes written together: the best of three rounds. The driver's own
 * copies of buffers may take a slower way: on an H200 they reach a fifth of this.
 */
export async function copySpeed() {
  const adapter = await dawn.requestAdapter({ powerPreference: "high-performance" });
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const size = Math.min(COPY_BYTES, maxBufferSize, maxStorageBufferBindingSize);
  const requiredLimits = { maxBufferSize: size, maxStorageBufferBindingSize: size };
  const device = await adapter.requestDevice({ requiredLimits });
  const module = device.createShaderModule({ code: COPY });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  const [from, to] = [0, 1].map(() => device.createBuffer({ size, usage: GPUBufferUsage.STORAGE }));
  const bind = (...buffers) => {
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    return device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  };
  const groups = [bind(from, to), bind(to, from)];
  /** Seconds. */
  const round = async (copies) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    for (let copy = 0; copy < copies; copy++) {
      pass.setBindGroup(0, groups[copy % 2]);
      pass.dispatchWorkgroups(WORKGROUPS);
    }
    pass.end();
    const commands = encoder.finish();
    const begin = performance.now();
    device.queue.submit([commands]);
    await device.queue.onSubmittedWorkDone();
    return (performance.now() - begin) / 1000;
  };
  let speed = (2 * size) / (await round(1)) / 1e9;
  // A driver that runs on the CPU takes a second for one.
  for (let again = 0; again < 3 && speed > SLOW_GBS; again++) {
    speed = Math.max(speed, (2 * size * COPIES) / (await round(COPIES)) / 1e9);
  }
  device.destroy();
  return speed;
}
