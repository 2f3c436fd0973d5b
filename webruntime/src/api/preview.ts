/** What can be said of a bundle on this machine before anything heavy is loaded. */

import { Bundle, type Plans } from "../engine/bundle.ts";
import { choosePlan, describeAdapter, openAdapter } from "../engine/device.ts";
import type { AdapterSummary, PlanChoice } from "../engine/engine-interface.ts";
import { DeviceError } from "../engine/errors.ts";
import { openTableStorage } from "../engine/host-table.ts";
import type { Manifest } from "../engine/manifest.gen.ts";
import { chooseTables, isTight, memoryNeed, smallMachine, towersNeed } from "../engine/memory.ts";
import { addressRule, planRule, signalRule } from "./options.ts";

type PlanEntry = Manifest["plans"][number];

export interface Preview {
  manifest: Manifest;
  /** Bytes of weights that loading downloads. */
  downloadBytes: number;
  /** The GPU, or why there is none. */
  gpu: AdapterSummary | DeviceError;
  memory: {
    /** Bytes of the GPU's memory that the model takes once a conversation fills the bundle's whole context. */
    text: number;
    /** Bytes of look-up tables that stay in the browser's storage. */
    stored: number;
    /** Those that are added when pictures and sound first come; 0 where the bundle takes text only. */
    towers: number;
    /** Roughly the memory of the whole machine, where the browser says that it is small. */
    machine: number | undefined;
    /** Whether that is so little that the text model may not fit. */
    tight: boolean;
  };
}

/**
 * Reads the manifest and asks for the GPU. Throws BundleError when there is no bundle at `url`, or one of another version,
 * UsageError when it cannot answer or has no such plan, and for what is no signal or no plan.
 */
export async function preview(url: string | URL, signal?: AbortSignal, choice?: PlanChoice): Promise<Preview> {
  addressRule(url, "url");
  if (signal !== undefined) signalRule(signal, "signal");
  if (choice !== undefined) planRule(choice, "plan");
  const { manifest, plans } = await Bundle.open(url, signal);
  const { gpu, plan } = await gpuAndPlan(plans, choice);
  const storage = plan.memory.tables > 0 ? await openTableStorage() : undefined;
  const [tables] = chooseTables(plan, manifest.context, {}, storage !== undefined);
  const text = memoryNeed(plan, manifest.context, tables).total;
  const stored = tables === "host" ? plan.memory.tables : 0;
  const [towers, machine] = [towersNeed(manifest), smallMachine()];
  const memory = { text, stored, towers, machine, tight: isTight(text, machine) };
  return { manifest, downloadBytes: plan.memory.weights + plan.memory.tables, gpu, memory };
}

/** The GPU and the plan that it will run; where there is none, the plan that most GPUs run. */
async function gpuAndPlan(
  plans: Plans,
  choice: PlanChoice | undefined,
): Promise<{ gpu: Preview["gpu"]; plan: PlanEntry }> {
  try {
    const adapter = await openAdapter(navigator.gpu);
    return { gpu: describeAdapter(adapter), plan: choosePlan(plans, adapter, choice) };
  } catch (error) {
    if (error instanceof DeviceError) return { gpu: error, plan: plans[0] };
    throw error;
  }
}
