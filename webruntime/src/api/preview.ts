/** What can be said of a bundle on this machine before anything heavy is loaded. */

import { bundleAddress } from "../bundle/address.ts";
import { describeAdapter, openAdapter } from "../engine/adapter.ts";
import { DeviceError, fromRecord } from "../errors.ts";
import type { AdapterSummary, PlanChoice } from "../messages.ts";
import type { BundlePreview } from "../worker/protocol.ts";
import { gpuHistory } from "./gpu-history.ts";
import { addressRule, planRule, signalRule } from "./options.ts";
import { findScripts } from "./scripts.ts";
import { acquireWorker } from "./worker.ts";

export interface Preview extends Omit<BundlePreview, "refusal"> {
  /** The GPU, or why there is none. */
  gpu: AdapterSummary | DeviceError;
}

/**
 * Has the worker read the manifest and the plans, and asks for the GPU. Throws BundleError when there is no bundle at `url`,
 * or one of another version, UsageError when it cannot answer or has no such plan, and for what is no signal or no plan, or
 * where the worker cannot be started.
 *
 * @param assets as of `Gemma.load`
 */
export async function preview(
  url: string | URL,
  signal?: AbortSignal,
  choice?: PlanChoice,
  assets?: string | URL,
): Promise<Preview> {
  addressRule(url, "url");
  if (signal !== undefined) signalRule(signal, "signal");
  if (choice !== undefined) planRule(choice, "plan");
  const { href } = bundleAddress(url);
  const script = findScripts(assets).worker;
  const gpu = await openAdapter(globalThis.navigator?.gpu, gpuHistory()).then(describeAdapter, ofDevice);
  const features = gpu instanceof DeviceError ? null : gpu.features;
  const { worker, release } = acquireWorker(script, href);
  try {
    const request = { url: href, features, plan: choice };
    const { refusal, ...found } = await worker.call("preview", request, { signal, onSilence: "end" });
    return { ...found, gpu: refusal ? (fromRecord(refusal) as DeviceError) : gpu };
  } finally {
    release(true);
  }
}

function ofDevice(error: unknown): DeviceError {
  if (error instanceof DeviceError) return error;
  throw error;
}
