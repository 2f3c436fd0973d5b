/** Chooses the plan of a bundle that a GPU runs. */

import { PLAN_CHOICES } from "../bundle/facts.gen.ts";
import type { Manifest } from "../bundle/manifest.gen.ts";
import { DeviceError, UsageError } from "../errors.ts";
import type { PlanChoice } from "../messages.ts";

type PlanEntry = Manifest["plans"][number];

/**
 * The first of a bundle's plans whose features the adapter has.
 *
 * @param wanted the plan's activation; `auto`, the default, permits all
 * @throws UsageError if the bundle has no wanted plan, DeviceError if the adapter does not have its features
 */
export function choosePlan(
  entries: readonly PlanEntry[],
  adapter: Pick<GPUAdapter, "features">,
  wanted: PlanChoice = "auto",
): PlanEntry {
  const named = wantedPlans(entries, wanted);
  const fitting = named.find(({ features }) => features.every((feature) => adapter.features.has(feature)));
  if (fitting) return fitting;
  if (wanted !== "auto") {
    throw new DeviceError(
      `The ${wanted} plan needs a GPU with ${named[0]?.features.join(" and ")}, which this one lacks. Leave \`plan\` out.`,
    );
  }
  const needed = entries.map(({ features }) => features.join(" and ")).join(", or ");
  throw new DeviceError(`This bundle needs a GPU with ${needed}, which this one lacks. Use a bundle with an f32 plan.`);
}

/** The plans that `wanted` permits. */
function wantedPlans(entries: readonly PlanEntry[], wanted: PlanChoice): readonly PlanEntry[] {
  if (!PLAN_CHOICES.includes(wanted)) {
    const known = PLAN_CHOICES.map((name) => `"${name}"`).join(", ");
    throw new UsageError(`plan: ${JSON.stringify(wanted)} is not known. Choose one of ${known}.`);
  }
  if (wanted === "auto") return entries;
  const named = entries.filter(({ activation }) => activation === wanted);
  if (named.length > 0) return named;
  const has = entries.map(({ activation }) => activation).join(" and ");
  throw new UsageError(`This bundle has no ${wanted} plan, but ${has}. Leave \`plan\` out.`);
}
