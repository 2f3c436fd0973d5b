/** Imports the code that reads media, the larger half of all code, from its own script when it is needed. */

import type { BundleFiles } from "../bundle/files.ts";
import type { ReadMedium } from "../chat/conversation-media.ts";
import { UsageError } from "../errors.ts";
import type { openMediaReader } from "../input/media-reader.ts";

/** The functions of the media script. */
export interface MediaPart {
  openMediaReader: typeof openMediaReader;
}

/**
 * The key under which the script stores its functions. The script exports nothing: bundlers copy and then minify it,
 * some as a classic script, in which `export` is an error.
 */
const KEY = Symbol.for("gemtab media part");

type Scope = { [KEY]?: MediaPart };

/** Store the media part. The script itself calls this function. */
export function offerMediaPart(part: MediaPart): void {
  (globalThis as Scope)[KEY] = part;
}

/**
 * Return a function that gives the reader of a bundle's media. Its first call imports the script at `url`; a call after
 * an error imports it again.
 */
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
  // Browsers remember addresses whose import failed. Another fragment makes a new address of the same file.
  const address = attempt === 0 ? url : `${url.replace(/#.*/, "")}#${attempt}`;
  try {
    if (!scope[KEY]) await import(/* @vite-ignore */ address);
  } catch (error) {
    throw notLoaded(url, String(error));
  }
  if (scope[KEY]) return scope[KEY];
  throw notLoaded(url, "another script is there");
}

function notLoaded(url: string, cause: string): UsageError {
  return new UsageError(
    `The part of gemtab that reads images, audio and video did not load from ${url} (${cause}). The file must exist, ` +
      "its host must let the page read it (Access-Control-Allow-Origin where it is another origin), and so must the page's " +
      "content security policy where it has one (script-src). Text still works.",
  );
}
