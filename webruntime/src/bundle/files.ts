/** What readers of a bundle's files see of it. */

import type { Manifest } from "./manifest.gen.ts";

/** The files of a loaded bundle, each checked against the manifest before it is given out. */
export interface BundleFiles {
  readonly url: string;
  readonly manifest: Manifest;
  has(file: string): boolean;
  text(file: string, signal?: AbortSignal): Promise<string>;
  json(file: string, signal?: AbortSignal): Promise<unknown>;
}
