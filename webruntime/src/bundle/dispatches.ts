/** Which dispatches of a program run. */

import type { Dispatch } from "./plan.gen.ts";

/** Where look-up tables lie. */
export type Residence = "gpu" | "host";

/** Whether a dispatch is for an executor whose look-up tables lie there. */
export function isFor({ embeddings: wanted }: Dispatch, embeddings: Residence): boolean {
  return wanted === null || wanted === embeddings;
}
