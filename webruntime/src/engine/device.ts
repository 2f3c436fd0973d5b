/** Opening a device: what it must have, and plain words where it has not. */

import { evaluate } from "../bundle/expression.ts";
import { FEATURES } from "../bundle/facts.gen.ts";
import type { Plan } from "../bundle/plan.gen.ts";
import { bindingBytes, largestSizes } from "../bundle/plan-sizes.ts";
import { causeOf, DeviceError, isTyped, LostError, OutOfMemoryError } from "../errors.ts";
import type { GpuHistory } from "../messages.ts";
import { pause } from "../patience.ts";
import { opened } from "./adapter.ts";

/** Limits by name. */
export type Needed = Readonly<Record<string, number>>;

/** The limits that running `plan` with `context` needs of a device: the plan's own, raised for caches of this size. */
export function requiredLimits(plan: Plan, context: number): Needed {
  const sizes = largestSizes(plan, context);
  const largest = Math.max(...Object.values(plan.buffers).map((buffer) => bindingBytes(buffer, sizes)));
  return {
    ...plan.limits,
    maxStorageBufferBindingSize: Math.max(plan.limits.maxStorageBufferBindingSize, largest),
    maxBufferSize: Math.max(plan.limits.maxBufferSize, largest, ...plan.slots.map((bytes) => evaluate(bytes, sizes))),
  };
}

/** Says which limit is below what is needed, where one is. */
export function tooSmall(limits: GPUSupportedLimits, needed: Needed): string | undefined {
  for (const [name, least] of Object.entries(needed)) {
    const found = limits[name as keyof GPUSupportedLimits] as number;
    if (found < least) return `its ${name} is ${found}, but ${least} is needed`;
  }
  return undefined;
}

/**
 * A device with the limits `needed`, those of `wished` that the adapter has all of, and all of `FEATURES` that it has.
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

/** Rejects with DeviceError where the GPU does not even do a little: it may be busy with what never ends. */
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

/** The reason a device was lost; never settles for one that was destroyed on purpose. */
export function deviceLost(device: GPUDevice): Promise<LostError> {
  return new Promise((resolve) => {
    void device.lost.then(({ reason, message }) => {
      if (reason === "destroyed") return;
      resolve(lost(message || reason));
    });
  });
}

export function lost(why: string): LostError {
  return new LostError(`The browser took the GPU away (${causeOf(why)}). Load the model again.`);
}

/** Browsers refuse calls on a lost device before they say that it is lost, which comes this soon after. */
const LOSS_TOLD_MS = 300;

/** The error by which the GPU failed, or the one of its loss, where that is what is behind it. */
export async function lossOr<E>(device: GPUDevice, error: E): Promise<E | LostError> {
  if (isTyped(error) && error.code !== "DeviceError") return error;
  return (await Promise.race([deviceLost(device), pause(LOSS_TOLD_MS)])) ?? error;
}

/** What `work` gives; what a call to WebGPU throws at once becomes a DeviceError that names `stage`. */
export function attempted<T>(stage: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw isTyped(error) ? error : new DeviceError(`The GPU refused ${stage}: ${causeOf(error)}`);
  }
}

/**
 * What `work` gives, with everything that WebGPU reports while it is called turned into a DeviceError that names
 * `stage`. Only what is issued before `work` first awaits is covered, as error scopes are a stack.
 */
export async function checked<T>(device: GPUDevice, stage: string, work: () => T): Promise<Awaited<T>> {
  device.pushErrorScope("validation");
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("internal");
  let result: T;
  const errors: Promise<GPUError | null>[] = [];
  try {
    result = attempted(stage, work);
    // It is awaited once the scopes have told what they found.
    Promise.resolve(result).catch(() => undefined);
  } finally {
    for (let scope = 0; scope < 3; scope++) errors.push(device.popErrorScope());
    // Whoever awaits them is told; nobody does after an error.
    Promise.all(errors).catch(() => undefined);
  }
  const found = await Promise.all(errors).catch((error: unknown) => {
    throw new DeviceError(`The GPU stopped working (${stage}: ${causeOf(error)}). Load the model again.`);
  });
  const error = found.find((one) => one !== null);
  if (!error) return await result;
  // What the failed call made is invalid, and may reject too.
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
