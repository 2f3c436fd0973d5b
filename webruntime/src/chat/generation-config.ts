/** generation_config.json: how to sample, and where answers end. */

import { shown } from "../brief.ts";
import { BundleError } from "../errors.ts";
import { SETTINGS } from "../facts.gen.ts";
import type { Sampling } from "../messages.ts";

export interface GenerationConfig {
  sampling: Omit<Sampling, "seed">;
  /** Ids that end an answer. */
  stop: ReadonlySet<number>;
}

/** Settings of an older bundle may be beyond their bounds. Export refuses such values. */
const WHOLE = ["top_k"];

/**
 * Absent values are off, as in transformers: no sampling, no top-k, no top-p. Throws BundleError without end tokens, and
 * for a setting that is no number in its range.
 */
export function readGenerationConfig(json: unknown): GenerationConfig {
  const config = (typeof json === "object" && json !== null ? json : {}) as Record<string, unknown>;
  const number = (name: "temperature" | "top_k" | "top_p", otherwise: number) => {
    const [least, bound] = SETTINGS[name];
    const most = Math.min(bound, Number.MAX_VALUE);
    const value = config[name] ?? otherwise;
    const kind = WHOLE.includes(name) ? "whole number" : "number";
    const fits = typeof value === "number" && (kind === "number" || Number.isInteger(value));
    if (fits && value >= least && value <= most) return value;
    throw wrong(name, value, `sampling needs a ${kind} from ${least} to ${most}`);
  };
  const stop = [config.eos_token_id].flat().filter(isId);
  if (stop.length === 0) {
    throw wrong("eos_token_id", config.eos_token_id, "answers need an id or a list of ids to end with");
  }
  const temperature = number("temperature", 1);
  if (![undefined, null, true, false].includes(config.do_sample as null)) {
    throw wrong("do_sample", config.do_sample, "sampling is true or false");
  }
  const sampling = { temperature: config.do_sample === true ? temperature : 0, topK: number("top_k", 0) };
  return { sampling: { ...sampling, topP: number("top_p", 1) }, stop: new Set(stop) };
}

function isId(found: unknown): found is number {
  return Number.isInteger(found) && (found as number) >= 0;
}

function wrong(name: string, found: unknown, needed: string): BundleError {
  const text = `generation_config.json: ${name} is ${shown(found)}, but ${needed}. Export the checkpoint again.`;
  return new BundleError(text, "generation_config.json");
}
