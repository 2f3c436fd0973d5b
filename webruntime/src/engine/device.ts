/** Opens a device with the limits and features that a plan needs, and turns errors of WebGPU into typed errors. */

import { evaluate } from "../bundle/expression.ts";
import { FEATURES } from "../bundle/facts.gen.ts";
import type { Plan } from "../bundle/plan.gen.ts";
import { bindingBytes, largestSizes } from "../bundle/plan-sizes.ts";
import { causeOf, DeviceError, isTyped, LostError, OutOfMemoryError } from "../errors.ts";
import type { GpuHistory } from "../messages.ts";
import { pause } from "../patience.ts";
import { opened } from "./adapter.ts";

/** Minimum values of limits, by WebGPU's names. */
export type Needed = Readonly<Record<string, number>>;

/** The limits that a device needs for `plan`: the plan's own, raised for caches of `context` tokens. */
export function requiredLimits(plan: Plan, context: number): Needed {
  const sizes = largestSizes(plan, context);
  const largest = Math.max(...Object.values(plan.buffers).map((buffer) => bindingBytes(buffer, sizes)));
  return {
    ...plan.limits,
    maxStorageBufferBindingSize: Math.max(plan.limits.maxStorageBufferBindingSize, largest),
    maxBufferSize: Math.max(plan.limits.maxBufferSize, largest, ...plan.slots.map((bytes) => evaluate(bytes, sizes))),
  };
}

/** A description of the first limit that is too small; undefined if all are large enough. */
export function tooSmall(limits: GPUSupportedLimits, needed: Needed): string | undefined {
  for (const [name, least] of Object.entries(needed)) {
    const found = limits[name as keyof GPUSupportedLimits] as number;
    if (found < least) return `its ${name} is ${found}, but ${least} is needed`;
  }
  return undefined;
}

/**
 * Opens a device with all features of `FEATURES` that the adapter has.
 *
 * @param needed limits that the device must have
 * @param wished further sets of limits; each set that the adapter has completely is added
 * @param history earlier losses of the GPU, for the error
 * @throws DeviceError if the adapter's limits are too small, or the device cannot be opened
 */
export async function openDevice(
  adapter: GPUAdapter,
  needed: Needed,
  wished: readonly Needed[] = [],
  history?: GpuHistory,
): Promise<GPUDevice> {
  const lacking = tooSmall(adapter.limits, needed);
  if (lacking) {
    throw new DeviceError(
      `This GPU is too small for the model: ${lacking}. Choose a smaller context or a smaller model.`,
    );
  }
  const limits = [needed, ...wished.filter((more) => !tooSmall(adapter.limits, more))].reduce(largest);
  const requiredFeatures = FEATURES.filter((feature) => adapter.features.has(feature));
  return opened(adapter.requestDevice({ label: "gemtab", requiredFeatures, requiredLimits: limits }), history);
}

/** Never resolves. Rejects with DeviceError if the GPU does not do a trivial task: it may be busy with endless work. */
export async function unanswered(device: GPUDevice, history?: GpuHistory): Promise<never> {
  await opened(proven(device), history);
  return new Promise(() => undefined);
}

async function proven(device: GPUDevice): Promise<void> {
  const buffer = device.createBuffer({ label: "proof", size: 16, usage: GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder({ label: "proof" });
  encoder.clearBuffer(buffer);
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
  buffer.destroy();
}

function largest(left: Needed, right: Needed): Needed {
  const names = Object.keys({ ...left, ...right });
  return Object.fromEntries(names.map((name) => [name, Math.max(left[name] ?? 0, right[name] ?? 0)]));
}

/** Resolves with the reason when a device is lost. Never settles for a device that was destroyed on purpose. */
export function deviceLost(device: GPUDevice): Promise<LostError> {
  return new Promise((resolve) => {
    void device.lost.then(({ reason, message }) => {
      if (reason === "destroyed") return;
      resolve(lost(message || reason));
    });
  });
}

/** The error for a lost device. */
export function lost(why: string): LostError {
  return new LostError(`The browser took the GPU away (${causeOf(why)}). Load the model again.`);
}

/** Milliseconds within which browsers report a loss, after calls on the lost device began to fail. */
const LOSS_REPORTED_MS = 300;

/** The error of the device's loss if it caused `error`, else `error`. */
export async function lossOr<E>(device: GPUDevice, error: E): Promise<E | LostError> {
  if (isTyped(error) && error.code !== "DeviceError") return error;
  return (await Promise.race([deviceLost(device), pause(LOSS_REPORTED_MS)])) ?? error;
}

/** Calls `work` and returns its result. Exceptions of WebGPU become DeviceError. stage: the work in words, for the error. */
export function attempted<T>(stage: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw isTyped(error) ? error : new DeviceError(`The GPU refused ${stage}: ${causeOf(error)}`);
  }
}

/**
 * Calls `work` within error scopes and returns its result. Only WebGPU calls before the first `await` of `work` are covered,
 * since error scopes are a stack.
 *
 * @param stage the work in words, for errors
 * @throws OutOfMemoryError if the GPU runs out of memory, DeviceError for other errors of WebGPU, and what `work` throws
 */
export async function checked<T>(device: GPUDevice, stage: string, work: () => T): Promise<Awaited<T>> {
  device.pushErrorScope("validation");
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("internal");
  let result: T;
  const errors: Promise<GPUError | null>[] = [];
  try {
    result = attempted(stage, work);
    // The result is awaited after the scopes.
    Promise.resolve(result).catch(() => undefined);
  } finally {
    for (let scope = 0; scope < 3; scope++) errors.push(device.popErrorScope());
    // After an exception nobody awaits the scopes.
    Promise.all(errors).catch(() => undefined);
  }
  const found = await Promise.all(errors).catch((error: unknown) => {
    throw new DeviceError(`The GPU stopped working (${stage}: ${causeOf(error)}). Load the model again.`);
  });
  const error = found.find((one) => one !== null);
  if (!error) return await result;
  // The result of the failed call is invalid, and may reject too.
  await Promise.resolve(result).catch(() => undefined);
  if (isOutOfMemory(error)) {
    throw new OutOfMemoryError(
      `The GPU has too little memory (${stage}). Close other tabs, or choose a smaller context.`,
    );
  }
  throw new DeviceError(`The GPU refused ${stage}: ${error.message}`);
}

function isOutOfMemory(error: GPUError): boolean {
  return error.constructor.name === "GPUOutOfMemoryError";
}
