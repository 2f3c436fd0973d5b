/**
 * Checks of a manifest beyond the schema. `check_manifest` in Python does the same checks. tests/fixtures/bundle_checks.json
 * has cases for both languages.
 */

import { type Check, checker } from "./checker.ts";
import { MANIFEST_NAME } from "./facts.gen.ts";
import { maxBytes } from "./file-limits.ts";
import { LIMITS } from "./limits.gen.ts";
import type { FileEntry, Manifest } from "./manifest.gen.ts";

type PlanEntry = Manifest["plans"][number];

/** Bytes of a word. The GPU takes whole words, so slices must not divide a word. */
const WORD = 4;

/** Throws BundleError if parts of a manifest contradict each other, or are too many. */
export function checkManifest(manifest: Manifest): void {
  const check = checker(MANIFEST_NAME);
  const files = Object.entries(manifest.files);
  check(manifest.plans.length > 0 || manifest.draft !== null, "it names neither a plan nor a draft graph");
  check(files.length <= LIMITS.FILES, `${files.length} files are more than ${LIMITS.FILES}`);
  for (const [file, entry] of files) {
    checkSlices(file, entry, check);
    const most = maxBytes(file);
    check(most === undefined || entry.bytes <= most, `${file} has ${entry.bytes} bytes, more than ${most}`);
  }
  const total = files.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  check(total < LIMITS.MAX_INTEGER, `the files have ${total} bytes in all`);
  for (const file of namedFiles(manifest)) {
    check(Object.hasOwn(manifest.files, file), `it names ${file}, which it does not list`);
  }
  for (const { file, tokens } of manifest.plans) {
    const { context } = manifest;
    check(tokens <= context, `${file} takes ${tokens} tokens in a context of ${context}`);
  }
}

function namedFiles(manifest: Manifest): string[] {
  const plans = planEntries(manifest).map(({ file }) => file);
  return manifest.draft ? [...plans, manifest.draft.file] : plans;
}

/** The entries of all plans, of text and of towers. */
export function planEntries({ plans, towers }: Manifest): PlanEntry[] {
  return [...plans, ...towers.image, ...towers.audio];
}

/** Checks digests and sizes of slices. Readers keep a whole slice in memory, so its size must be bounded. */
function checkSlices(file: string, { bytes, slice_bytes, sha256 }: FileEntry, check: Check): void {
  const slices = Math.max(1, Math.ceil(bytes / slice_bytes));
  const found = sha256.length;
  check(found === slices, `${file} must have a digest for each of the ${slices} slices, but has ${found}`);
  const largest = Math.min(bytes, slice_bytes);
  check(largest <= LIMITS.SLICE_BYTES, `${file} has slices of ${largest} bytes, more than ${LIMITS.SLICE_BYTES}`);
  const wholeWords = slices === 1 || slice_bytes % WORD === 0;
  check(wholeWords, `${file} has slices of ${slice_bytes} bytes, not a multiple of ${WORD}`);
}
