/** What this page saw of its GPU: a page has one, which is why it is kept here. */

import { brief } from "../brief.ts";
import type { GpuHistory } from "../messages.ts";

/** Characters of an address in a message. */
const MOST_ADDRESS = 160;

let losses = 0;
let left: { urls: readonly string[]; at: number } | undefined;

/** The GPU was taken away. */
export function noteLoss(): void {
  losses++;
}

/** A worker was ended that did not answer: what it had the GPU do may go on. */
export function noteLeft(urls: readonly string[]): void {
  left = { urls, at: performance.now() };
}

/** A model was loaded, so nothing holds the GPU. */
export function noteLoaded(): void {
  left = undefined;
}

export function gpuHistory(): GpuHistory {
  if (!left) return { losses };
  const seconds = Math.round((performance.now() - left.at) / 1000);
  const urls = [...new Set(left.urls)].map((url) => brief(url, MOST_ADDRESS)).join(", ");
  return { losses, holder: `The work of ${urls}, whose worker did not stop and was ended ${seconds} seconds ago,` };
}
