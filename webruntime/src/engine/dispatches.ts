/** Which dispatches of a program run. */

import type { Tables } from "./engine-interface.ts";
import type { Dispatch } from "./plan.gen.ts";

/** Whether a dispatch is for an executor whose look-up tables lie there. */
export function isFor({ tables: wanted }: Dispatch, tables: Tables): boolean {
  return wanted === null || wanted === tables;
}
