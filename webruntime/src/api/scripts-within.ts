/**
 * Replaces scripts.ts where one file is all of gemtab (dist/npm/cdn): the page's module holds the text of both scripts,
 * and makes addresses of them when they are first needed.
 */

import worker from "gemtab:gemtab-worker";
import media from "gemtab:gemtab-worker-media";
import type { Scripts } from "./scripts.ts";

let made: Scripts | undefined;

/** Return the absolute addresses of the scripts. No folder of assets is needed; a named one is ignored. */
export function findScripts(_assets: string | URL | undefined): Scripts {
  made ??= { worker: addressOf(worker), media: addressOf(media) };
  return made;
}

/**
 * Return an address of a script. A page without an origin, such as a sandboxed frame, needs a data: address: to its
 * worker, the page's own blobs have another origin.
 */
function addressOf(text: string): string {
  const type = "text/javascript";
  if (globalThis.origin === "null") return `data:${type};charset=utf-8,${encodeURIComponent(text)}`;
  return URL.createObjectURL(new Blob([text], { type }));
}
