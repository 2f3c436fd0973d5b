/** generation_config.json: how to sample, and where answers end. */

import type { Sampling } from "../engine/engine-interface.ts";
import { BundleError } from "../engine/errors.ts";

export interface GenerationConfig {
  sampling: Omit<Sampling, "seed">;
  /** Ids that end an answer. */
  stop: ReadonlySet<number>;
}

/** Absent values are off, as in transformers: no sampling, no top-k, no top-p. Throws BundleError without end tokens. */
export function readGenerationConfig(json: unknown): GenerationConfig {
  const config = (typeof json === "object" ? json : null) as Record<string, unknown> | null;
  const number = (name: string, otherwise: number) => {
    const value = config?.[name];
    return typeof value === "number" ? value : otherwise;
  };
  const stop = [config?.eos_token_id].flat().filter((id) => typeof id === "number");
  if (stop.length === 0) {
    throw new BundleError(
      `generation_config.json: eos_token_id is ${JSON.stringify(config?.eos_token_id)}, but answers need an id or a ` +
        "list of ids to end with. Export the checkpoint again.",
      "generation_config.json",
    );
  }
  const temperature = config?.do_sample === true ? number("temperature", 1) : 0;
  return { sampling: { temperature, topK: number("top_k", 0), topP: number("top_p", 1) }, stop: new Set(stop) };
}
