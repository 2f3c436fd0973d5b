/** Selects the dispatches for a residence of per-layer embeddings. */

import type { Dispatch } from "./plan.gen.ts";

/**
 * Where per-layer embeddings are. gpu: whole, in GPU memory. host: in the browser's storage; before each step the engine
 * writes the rows of the step's ids to the GPU.
 */
export type Residence = "gpu" | "host";

/** Whether a dispatch runs with per-layer embeddings there. */
export function isFor({ embeddings: wanted }: Dispatch, embeddings: Residence): boolean {
  return wanted === null || wanted === embeddings;
}
