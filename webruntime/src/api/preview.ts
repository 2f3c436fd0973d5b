/** Describes a bundle on this machine before weights or media code are loaded. */

import { bundleAddress } from "../bundle/address.ts";
import { describeAdapter, openAdapter } from "../engine/adapter.ts";
import { DeviceError, fromRecord } from "../errors.ts";
import type { AdapterSummary, PlanChoice } from "../messages.ts";
import type { BundlePreview } from "../worker/protocol.ts";
import { gpuHistory } from "./gpu-history.ts";
import { addressRule, planRule, signalRule } from "./options.ts";
import { findScripts } from "./scripts.ts";
import { acquireWorker } from "./worker.ts";

/** A bundle's requirements, and the GPU. */
export interface Preview extends Omit<BundlePreview, "refusal"> {
  /** The GPU, or the reason why it cannot run the bundle. */
  gpu: AdapterSummary | DeviceError;
}

/**
 * Read the bundle's manifest and plans in the worker, and open the GPU.
 *
 * @param url the bundle's address, as in `Gemma.load`
 * @param signal ends the preview with an AbortError
 * @param choice the plan, as in `Gemma.load`; default: "auto"
 * @param assets as in `Gemma.load`
 * @throws BundleError where there is no bundle at `url`, or one of another version
 * @throws UsageError for an unusable address, an absent plan or an invalid argument, and where the worker cannot start
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
