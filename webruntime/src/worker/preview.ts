/** Describes a bundle before weights or media code are loaded. */

import { Bundle } from "../bundle/bundle.ts";
import type { Manifest } from "../bundle/manifest.gen.ts";
import { chooseResidence, isTight, memoryNeed, smallMachine, towersNeed } from "../bundle/memory.ts";
import { planMemory } from "../bundle/plan-memory.ts";
import { choosePlan } from "../engine/choose-plan.ts";
import { openEmbeddingsStorage } from "../engine/host-embeddings.ts";
import { readTowerPlans } from "../engine/towers.ts";
import { DeviceError, type ErrorRecord, toRecord } from "../errors.ts";
import type { BundlePreview, PreviewRequest } from "./protocol.ts";

type PlanEntry = Manifest["plans"][number];

/**
 * Return a bundle's manifest, download size and memory. Throws BundleError and UsageError as Bundle.open does, and
 * BundleError where the plans contradict the manifest. Without a GPU, plans are not read: pages without WebGPU may have
 * no digests either.
 */
export async function previewBundle(request: PreviewRequest, signal: AbortSignal): Promise<BundlePreview> {
  const bundle = await Bundle.open(request.url, signal);
  const { manifest } = bundle;
  const { plan: chosen, refusal } = planFor(bundle, request);
  const plan = request.features ? await proven(bundle, chosen, request.features, signal) : chosen;
  const storage = plan.memory.embeddings > 0 ? await openEmbeddingsStorage() : undefined;
  const [embeddings] = chooseResidence(plan, manifest.context, {}, storage !== undefined);
  const text = memoryNeed(plan, manifest.context, embeddings).total;
  const stored = embeddings === "host" ? plan.memory.embeddings : 0;
  const [towers, machine] = [towersNeed(manifest), smallMachine()];
  const memory = { text, stored, towers, machine, tight: isTight(text, machine) };
  return { manifest, downloadBytes: plan.memory.weights + plan.memory.embeddings, refusal, memory };
}

/** Return the entry with the plan's own sums, after the plans are checked against the manifest. */
async function proven(
  bundle: Bundle,
  entry: PlanEntry,
  features: readonly string[],
  signal: AbortSignal,
): Promise<PlanEntry> {
  const towers = readTowerPlans(bundle, { features: new Set(features) }, signal).catch(unlessOfDevice);
  const [plan] = await Promise.all([bundle.plan(entry.file, signal), towers]);
  return { ...entry, memory: planMemory(plan) };
}

/** Return the plan that the GPU will run; where it can run none, the plan that most GPUs can run. */
function planFor(
  { plans }: Bundle,
  { features, plan }: PreviewRequest,
): { plan: PlanEntry; refusal: ErrorRecord | null } {
  if (!features) return { plan: plans[0], refusal: null };
  try {
    return { plan: choosePlan(plans, { features: new Set(features) }, plan), refusal: null };
  } catch (error) {
    if (error instanceof DeviceError) return { plan: plans[0], refusal: toRecord(error) };
    throw error;
  }
}

/** Ignore DeviceError: loading reports it. */
function unlessOfDevice(error: unknown): void {
  if (!(error instanceof DeviceError)) throw error;
}
