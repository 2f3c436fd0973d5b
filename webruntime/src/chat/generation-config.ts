/** generation_config.json: how to sample, and where answers end. */

import type { Sampling } from "../engine/engine-interface.ts";
import { BundleError } from "../engine/errors.ts";

export interface GenerationConfig {
  sampling: Omit<Sampling, "seed">;
  /** Ids that end an answer. */
  stop: ReadonlySet<number>;
}

/** What a setting may be. Export refuses other values; an older bundle may have them. */
const MOST = { temperature: Number.MAX_VALUE, top_k: 2 ** 31 - 1, top_p: 1 };

/**
 * Absent values are off, as in transformers: no sampling, no top-k, no top-p. Throws BundleError without end tokens, and
 * for a setting that is no number in its range.
 */
export function readGenerationConfig(json: unknown): GenerationConfig {
  const config = (typeof json === "object" && json !== null ? json : {}) as Record<string, unknown>;
  const number = (name: keyof typeof MOST, otherwise: number) => {
    const value = config[name] ?? otherwise;
    if (typeof value === "number" && value >= 0 && value <= MOST[name]) return value;
    throw wrong(name, value, `sampling needs a number from 0 to ${MOST[name]}`);
  };
  const stop = [config.eos_token_id].flat().filter((id) => typeof id === "number");
  if (stop.length === 0) {
    throw wrong("eos_token_id", config.eos_token_id, "answers need an id or a list of ids to end with");
  }
  const temperature = number("temperature", 1);
  const sampling = { temperature: config.do_sample === true ? temperature : 0, topK: number("top_k", 0) };
  return { sampling: { ...sampling, topP: number("top_p", 1) }, stop: new Set(stop) };
}

function wrong(name: string, found: unknown, needed: string): BundleError {
  const text = `generation_config.json: ${name} is ${JSON.stringify(found)}, but ${needed}. Export the checkpoint again.`;
  return new BundleError(text, "generation_config.json");
}
