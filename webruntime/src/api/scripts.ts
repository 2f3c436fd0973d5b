/** Finds the two scripts that a page does not import itself: the worker's, and the script that reads media. */

import { FolderAddress } from "../bundle/address.ts";
import { UsageError } from "../errors.ts";

// The build adds a digest to these names, here and below.
const WORKER = "gemtab-worker.js";
const MEDIA = "gemtab-worker-media.js";

/** The absolute addresses of the scripts. */
export interface Scripts {
  /** The worker's script. */
  worker: string;
  /** The script that reads media. */
  media: string;
}

/**
 * Return the addresses of the scripts.
 *
 * @param assets the folder with both scripts; default: beside the page's script
 * @throws UsageError where `assets` is not the address of a folder, or is required
 */
export function findScripts(assets: string | URL | undefined): Scripts {
  if (assets === undefined) return besideThis();
  const folder = new FolderAddress(assets, globalThis.document?.baseURI);
  return { worker: folder.file(WORKER), media: folder.file(MEDIA) };
}

/**
 * Return the scripts beside this one. Bundlers look for exactly this form, copy the named file, and insert its new
 * address. No part may be computed. The build of gemtab itself must not change the form; see
 * webruntime/scripts/self-contained.ts.
 */
function besideThis(): Scripts {
  try {
    return {
      worker: whole(new URL(/* @vite-ignore */ "./gemtab-worker.js", import.meta.url)),
      media: whole(new URL(/* @vite-ignore */ "./gemtab-worker-media.js", import.meta.url)),
    };
  } catch {
    throw new UsageError(
      `gemtab does not know where ${WORKER} and ${MEDIA} are: this page's script was built without import.meta.url. Copy ` +
        'both from the package and name their folder, as in Gemma.load(url, { assets: "/gemtab/" }).',
    );
  }
}

/** Return an absolute address: some bundlers, such as Next's, insert a URL whose address is only a path. */
function whole({ href }: URL): string {
  return new URL(href, globalThis.location?.href).href;
}
