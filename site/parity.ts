/** Summarizes parity.json in one sentence. */

import type { ModelInfo } from "../webruntime/src/api/index.ts";

/** The members of gemtab/bundle/parity.py that the sentence needs. */
interface Comparison {
  backend: string;
  against: "checkpoint" | "stored weights";
  top1: number;
}

interface Parity {
  steps: number;
  comparisons: Comparison[];
}

const REFERENCES = { "stored weights": "the bundle's own weights", checkpoint: "the original checkpoint" };

/** Return the sentence, or "" where the bundle was not verified. Of several plans, the one that runs here counts. */
export function paritySentence({ parity, stats }: Pick<ModelInfo, "parity" | "stats">): string {
  if (!isParity(parity)) return "";
  const ours = parity.comparisons.filter(({ backend }) => backend === `webgpu ${stats.activation}`);
  if (ours.length === 0) return "";
  // One for each reference, whatever the file has.
  const here = [...new Map(ours.map((comparison) => [comparison.against, comparison])).values()];
  const shares = here.map(({ against, top1 }) => `${percent(top1)} of the tokens that ${REFERENCES[against]} would`);
  return `Checked when it was exported, over ${parity.steps} tokens: it chooses ${shares.join(" and ")}.`;
}

function percent(share: number): string {
  // Rounded down: "100 %" would mean all of them.
  return `${Math.floor(share * 1000) / 10} %`;
}

function isComparison(json: unknown): json is Comparison {
  const { backend, against, top1 } = (json ?? {}) as Partial<Comparison>;
  return typeof backend === "string" && typeof top1 === "number" && Object.hasOwn(REFERENCES, String(against));
}

function isParity(json: unknown): json is Parity {
  if (typeof json !== "object" || json === null || !("format" in json) || json.format !== 1) return false;
  const { steps, comparisons } = json as Partial<Parity>;
  return typeof steps === "number" && Array.isArray(comparisons) && comparisons.every(isComparison);
}
