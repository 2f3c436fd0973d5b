/** The code that reads media: the larger half of all code, in a script of its own, which the worker imports when needed. */

import type { BundleFiles } from "../bundle/files.ts";
import type { ReadMedium } from "../chat/conversation-media.ts";
import { UsageError } from "../errors.ts";
import type { openMediaReader } from "../input/media-reader.ts";

export interface MediaPart {
  openMediaReader: typeof openMediaReader;
}

/**
 * Where the script puts what it has. The script exports nothing: bundlers copy it and then minify it, some of them as a
 * classic script, in which `export` is an error.
 */
const PLACE = Symbol.for("gemtab media part");

type Scope = { [PLACE]?: MediaPart };

/** Called by the script itself. */
export function offerMediaPart(part: MediaPart): void {
  (globalThis as Scope)[PLACE] = part;
}

/** The reader of a bundle's media; the script at `url` is imported by the first call, and again after an error. */
export function mediaPart(url: string, files: BundleFiles): () => Promise<ReadMedium> {
  let reader: Promise<ReadMedium> | undefined;
  let attempts = 0;
  const load = async (): Promise<ReadMedium> => {
    const { openMediaReader } = await importMediaPart(url, attempts++);
    const opened = await openMediaReader(files);
    return (part, signal) => opened.read(part, signal);
  };
  return () => {
    reader ??= load().catch((error: unknown) => {
      reader = undefined;
      throw error;
    });
    return reader;
  };
}

async function importMediaPart(url: string, attempt: number): Promise<MediaPart> {
  const scope = globalThis as Scope;
  // Browsers remember that an address could not be imported; another fragment makes another address of the same file.
  const address = attempt === 0 ? url : `${url.replace(/#.*/, "")}#${attempt}`;
  try {
    if (!scope[PLACE]) await import(/* @vite-ignore */ address);
  } catch (error) {
    throw notLoaded(url, String(error));
  }
  if (scope[PLACE]) return scope[PLACE];
  throw notLoaded(url, "another script is there");
}

function notLoaded(url: string, cause: string): UsageError {
  return new UsageError(
    `The part of gemtab that reads images, audio and video did not load from ${url} (${cause}). The file must be there, ` +
      "its host must let the page read it (Access-Control-Allow-Origin where it is another origin), and so must the page's " +
      "content security policy where it has one (script-src). Text goes on working.",
  );
}
