/** What can be said of a bundle on this machine before anything heavy is loaded. */

import { Bundle } from "../engine/bundle.ts";
import { describeAdapter, openAdapter } from "../engine/device.ts";
import type { AdapterSummary } from "../engine/engine-interface.ts";
import { DeviceError } from "../engine/errors.ts";
import type { Manifest } from "../engine/manifest.gen.ts";

export interface Preview {
  manifest: Manifest;
  /** Bytes of weights that loading downloads. */
  downloadBytes: number;
  /** The GPU, or why there is none. */
  gpu: AdapterSummary | DeviceError;
}

/** Reads the manifest and asks for the GPU. Throws BundleError when there is no bundle at `url`, or one of another version. */
export async function preview(url: string | URL, signal?: AbortSignal): Promise<Preview> {
  const { manifest } = await Bundle.open(new URL(url, document.baseURI).href, signal);
  return { manifest, downloadBytes: manifest.memory.weights, gpu: await gpuOrReason() };
}

async function gpuOrReason(): Promise<AdapterSummary | DeviceError> {
  try {
    return describeAdapter(await openAdapter(navigator.gpu));
  } catch (error) {
    if (error instanceof DeviceError) return error;
    throw error;
  }
}
