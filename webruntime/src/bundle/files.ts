/** The interface of a bundle for readers of its files. */

import type { Manifest } from "./manifest.gen.ts";

/** The files of an open bundle. Every file is verified against the manifest before it is returned. */
export interface BundleFiles {
  /** The folder's address. */
  readonly url: string;
  /** The content of gemtab.json. */
  readonly manifest: Manifest;
  /** Whether the manifest lists a file. */
  has(file: string): boolean;
  /** The text of a file. Throws BundleError for a file that is not listed, altered or not UTF-8, and AbortError. */
  text(file: string, signal?: AbortSignal): Promise<string>;
  /** The value in a JSON file. Throws as `text` does, and BundleError for text that is no JSON. */
  json(file: string, signal?: AbortSignal): Promise<unknown>;
}
