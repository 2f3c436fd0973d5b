/** What can be said of a bundle on this machine before anything heavy is loaded. */

import { Bundle, type Plans } from "../engine/bundle.ts";
import { choosePlan, describeAdapter, openAdapter } from "../engine/device.ts";
import type { AdapterSummary } from "../engine/engine-interface.ts";
import { DeviceError } from "../engine/errors.ts";
import type { Manifest } from "../engine/manifest.gen.ts";
import { memoryNeed, towersNeed } from "../engine/memory.ts";

type PlanEntry = Manifest["plans"][number];

/** Browsers tell the machine's memory only roughly, and no more than this many GiB. */
const MOST_TOLD_GIB = 8;

export interface Preview {
  manifest: Manifest;
  /** Bytes of weights that loading downloads. */
  downloadBytes: number;
  /** The GPU, or why there is none. */
  gpu: AdapterSummary | DeviceError;
  memory: {
    /** Bytes of the GPU's memory that the model takes with the bundle's whole context. */
    text: number;
    /** Those that are added when pictures and sound first come; 0 where the bundle takes text only. */
    towers: number;
    /** Roughly the memory of the whole machine, where the browser says that it is small. */
    machine: number | undefined;
  };
}

/**
 * Reads the manifest and asks for the GPU. Throws BundleError when there is no bundle at `url`, or one of another version,
 * UsageError when it cannot answer.
 */
export async function preview(url: string | URL, signal?: AbortSignal): Promise<Preview> {
  const { manifest, plans } = await Bundle.open(new URL(url, document.baseURI).href, signal);
  const { gpu, plan } = await gpuAndPlan(plans);
  const text = memoryNeed(plan, manifest.context).total;
  const memory = { text, towers: towersNeed(manifest, plan.activation), machine: smallMachine() };
  return { manifest, downloadBytes: memoryNeed(plan, manifest.context).weights, gpu, memory };
}

/** The GPU and the plan that it will run; where there is none, the plan that most GPUs run. */
async function gpuAndPlan(plans: Plans): Promise<{ gpu: Preview["gpu"]; plan: PlanEntry }> {
  try {
    const adapter = await openAdapter(navigator.gpu);
    return { gpu: describeAdapter(adapter), plan: choosePlan(plans, adapter) };
  } catch (error) {
    if (error instanceof DeviceError) return { gpu: error, plan: plans[0] };
    throw error;
  }
}

function smallMachine(): number | undefined {
  const { deviceMemory } = navigator as { deviceMemory?: number };
  return deviceMemory !== undefined && deviceMemory < MOST_TOLD_GIB ? deviceMemory * 2 ** 30 : undefined;
}
