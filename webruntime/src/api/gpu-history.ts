/** Records how the page's GPU has behaved. Module state, because a page has one GPU. */

import { brief } from "../brief.ts";
import type { GpuHistory } from "../messages.ts";

/** The maximum number of characters of an address in a message. */
const MAX_ADDRESS = 160;

let losses = 0;
let left: { urls: readonly string[]; at: number } | undefined;

/** Record that the GPU was lost. */
export function noteLoss(): void {
  losses++;
}

/** Record that an unresponsive worker was ended: its work on the GPU may continue. */
export function noteLeft(urls: readonly string[]): void {
  left = { urls, at: performance.now() };
}

/** Record that a model was loaded, so no work holds the GPU. */
export function noteLoaded(): void {
  left = undefined;
}

/** Return the record. */
export function gpuHistory(): GpuHistory {
  if (!left) return { losses };
  const seconds = Math.round((performance.now() - left.at) / 1000);
  const urls = [...new Set(left.urls)].map((url) => brief(url, MAX_ADDRESS)).join(", ");
  return { losses, holder: `The work of ${urls}, whose worker did not stop and was ended ${seconds} seconds ago,` };
}
