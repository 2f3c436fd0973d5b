/**
 * WebGPU in Node, as the engine is given it: Dawn, which Chrome uses too, with timestamps that are not rounded.
 *
 * NVIDIA's, AMD's and Intel's drivers are found by the Vulkan loader; VK_DRIVER_FILES names another, such as
 * SwiftShader's.
 */

import { create, globals } from "webgpu";
import { Recorder } from "./recorder.mjs";

Object.assign(globalThis, globals);

/** Browsers round timestamps to 100 µs, more than most kernels take. */
const FLAGS = ["disable-dawn-features=timestamp_quantization"];

/** Held to the end: once Dawn's instance is collected, its threads find it gone and abort. */
const dawn = create(FLAGS);

/** What `engine` is loaded with: adapters whose devices have timestamps, and a recorder that sees their passes. */
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

/** GB/s of copies between two buffers of 256 MiB, bytes read and bytes written together: the best of three rounds. */
export async function copySpeed() {
  const adapter = await dawn.requestAdapter({ powerPreference: "high-performance" });
  const size = Math.min(COPY_BYTES, adapter.limits.maxBufferSize);
  const device = await adapter.requestDevice({ requiredLimits: { maxBufferSize: size } });
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [0, 1].map(() => device.createBuffer({ size, usage }));
  const round = async () => {
    const encoder = device.createCommandEncoder();
    for (let copy = 0; copy < COPIES; copy++) {
      const [source, target] = copy % 2 ? [to, from] : [from, to];
      encoder.copyBufferToBuffer(source, 0, target, 0, size);
    }
    const commands = encoder.finish();
    const begin = performance.now();
    device.queue.submit([commands]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - begin;
  };
  await round();
  const times = [await round(), await round(), await round()];
  device.destroy();
  return (2 * size * COPIES) / Math.min(...times) / 1e6;
}
