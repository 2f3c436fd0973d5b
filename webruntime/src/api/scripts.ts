/** Where gemtab's two scripts are that a page does not import itself: the worker's, and the part that reads media. */

import { FolderAddress } from "../bundle/address.ts";
import { UsageError } from "../errors.ts";

// The build puts a digest into these names, here and below.
const WORKER = "gemtab-worker.js";
const MEDIA = "gemtab-worker-media.js";

/** Whole addresses. */
export interface Scripts {
  worker: string;
  media: string;
}

/**
 * @param assets the folder that has both, where they do not lie where the page's own script says
 * @throws UsageError where `assets` is no address of a folder, or is needed
 */
export function findScripts(assets: string | URL | undefined): Scripts {
  if (assets === undefined) return besideThis();
  const folder = new FolderAddress(assets, globalThis.document?.baseURI);
  return { worker: folder.file(WORKER), media: folder.file(MEDIA) };
}

/**
 * Bundlers look for this very form, copy the file that is named, and put its new address in. Nothing may be computed.
 * (The build of gemtab itself must leave it as it is; see webruntime/scripts/self-contained.ts.)
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

/** Some bundlers (Next's) put a URL here whose address is a path only. */
function whole({ href }: URL): string {
  return new URL(href, globalThis.location?.href).href;
}
