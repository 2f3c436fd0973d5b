/**
 * In the place of scripts.ts where one file is all of gemtab (dist/npm/cdn): the module of the page holds the text of both
 * scripts, and makes addresses of them when they are first needed.
 */

import worker from "gemtab:gemtab-worker";
import media from "gemtab:gemtab-worker-media";
import type { Scripts } from "./scripts.ts";

let made: Scripts | undefined;

/** Whole addresses. Nothing lies anywhere else, so no folder of assets is needed, and one that is named is not looked at. */
export function findScripts(_assets: string | URL | undefined): Scripts {
  made ??= { worker: addressOf(worker), media: addressOf(media) };
  return made;
}

/** A page without an origin (a sandboxed frame) needs a data: address: blobs of its own are another origin's to its worker. */
function addressOf(text: string): string {
  const type = "text/javascript";
  if (globalThis.origin === "null") return `data:${type};charset=utf-8,${encodeURIComponent(text)}`;
  return URL.createObjectURL(new Blob([text], { type }));
}
