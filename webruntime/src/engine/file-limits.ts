/** How large the files of a bundle may be that are read whole: several times what exports write. */

import { BundleError } from "./errors.ts";

const MB = 2 ** 20;

export const MOST_MANIFEST_BYTES = 16 * MB;

/** By the first that fits. Shaders have a few thousand bytes, plans up to a few million, Gemma's tokenizers 33 million. */
const MOST_BYTES: readonly (readonly [RegExp, number])[] = [
  [/^plan\/.*\.json$/, 16 * MB],
  [/^tokenizer\.json$/, 64 * MB],
  [/\.(json|jinja|wgsl|md)$/, 2 * MB],
];
const MOST_OTHER_BYTES = 16 * MB;

/** Throws BundleError, before anything is fetched, where a file is too large to be one that gemtab reads whole. */
export function checkReadable(file: string, bytes: number): void {
  const most = MOST_BYTES.find(([pattern]) => pattern.test(file))?.[1] ?? MOST_OTHER_BYTES;
  if (bytes <= most) return;
  throw new BundleError(
    `${file} has ${bytes} bytes by the manifest, but gemtab reads at most ${most} of it. Export the bundle again.`,
    file,
  );
}
