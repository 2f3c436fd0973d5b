/**
 * Downloads files of a bundle in slices. Every slice is verified by its SHA-256 before its bytes are used. One slice is in
 * memory at a time.
 */

import { BundleError, throwIfAborted } from "../errors.ts";
import { BodyReader, request, type SliceBuffer, sliceBuffer } from "./body.ts";
import type { FileEntry } from "./manifest.gen.ts";

/** A part of a file. */
export interface Region {
  /** The first byte. */
  offset: number;
  /** The number of bytes. */
  bytes: number;
}

/** A file on a host. */
export interface Source {
  /** The file's address. */
  url: string;
  /** The file's path in the bundle, for errors. */
  file: string;
  /** Size and digests of the file. */
  entry: FileEntry;
}

/** Options of `download`. */
export interface DownloadOptions {
  /** Stops the download, which then throws AbortError. None by default. */
  signal?: AbortSignal | undefined;
  /** Called with the number of bytes of each part of a wanted slice that arrives. */
  onBytes?: ((bytes: number) => void) | undefined;
  /**
   * Memory for one slice, at least as large as the largest; new memory by default. Give the same object for all files of a
   * bundle, since old buffers stay in memory until they are collected.
   */
  buffer?: SliceBuffer | undefined;
}

/** Takes `bytes` of a file from byte `offset` on. They are valid until the sink returns or its promise resolves. */
export type Sink = (offset: number, bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;

/** The slices that overlap the regions `wanted`, as ascending runs [first, last] of slice numbers. */
export function wantedRuns(entry: FileEntry, wanted: readonly Region[]): [number, number][] {
  const touched = wanted
    .filter(({ bytes }) => bytes > 0)
    .map(({ offset, bytes }): [number, number] => [
      Math.floor(offset / entry.slice_bytes),
      Math.floor((offset + bytes - 1) / entry.slice_bytes),
    ])
    .sort(([a], [b]) => a - b);
  const runs: [number, number][] = [];
  for (const [first, last] of touched) {
    const run = runs.at(-1);
    if (run && first <= run[1] + 1) run[1] = Math.max(run[1], last);
    else runs.push([first, last]);
  }
  return runs;
}

/** The bytes that `download` fetches for `wanted`: whole slices, since only those can be verified. */
export function downloadBytes(entry: FileEntry, wanted: readonly Region[]): number {
  return wantedRuns(entry, wanted)
    .map(([first, last]) => Math.min((last + 1) * entry.slice_bytes, entry.bytes) - first * entry.slice_bytes)
    .reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * Fetches the slices that overlap `wanted`, verifies each and gives it to `sink`, in ascending order.
 *
 * @throws BundleError with file and slice if one is missing, short or altered, what `sink` throws, and AbortError
 */
export async function download(
  source: Source,
  wanted: readonly Region[],
  sink: Sink,
  options: DownloadOptions = {},
): Promise<void> {
  for (const [first, last] of wantedRuns(source.entry, wanted)) {
    await downloadRun(source, first, last, sink, options);
  }
}

async function downloadRun(
  { url, file, entry }: Source,
  first: number,
  last: number,
  sink: Sink,
  { signal, onBytes, buffer }: DownloadOptions,
): Promise<void> {
  const start = first * entry.slice_bytes;
  const end = Math.min((last + 1) * entry.slice_bytes, entry.bytes);
  const whole = start === 0 && end === entry.bytes;
  const reply = await request(url, file, { signal, ...(!whole && { range: `bytes=${start}-${end - 1}` }) });
  const target = buffer ?? sliceBuffer(Math.min(entry.slice_bytes, end - start));
  const body = new BodyReader(reply, target, file, signal);
  try {
    // A host without range requests sends the file from its start.
    if (reply.response.status === 200) await body.skip(start, first);
    for (let index = first; index <= last; index++) {
      const offset = index * entry.slice_bytes;
      const bytes = await body.read(Math.min(entry.slice_bytes, end - offset), index, onBytes);
      await checkDigest(bytes, entry.sha256[index], file, index);
      throwIfAborted(signal);
      await sink(offset, bytes);
    }
  } catch (error) {
    body.close();
    throw error;
  }
  body.finish();
}

async function checkDigest(
  bytes: Uint8Array<ArrayBuffer>,
  expected: string | undefined,
  file: string,
  slice: number,
): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found === expected) return;
  throw new BundleError(
    `Slice ${slice} of ${file} was altered: its SHA-256 is not the one of the manifest. Reload; if that does not help, ` +
      "upload the bundle again.",
    file,
    slice,
    { expected: expected ?? "none", found },
  );
}
