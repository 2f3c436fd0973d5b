/** Which dispatches of a program run. */

import type { Dispatch } from "./plan.gen.ts";

/** Where look-up tables lie. */
export type Tables = "gpu" | "host";

/** Whether a dispatch is for an executor whose look-up tables lie there. */
export function isFor({ tables: wanted }: Dispatch, tables: Tables): boolean {
  return wanted === null || wanted === tables;
}
