/**
 * Downloading files of a bundle in slices. No byte is given out before the SHA-256 of its slice was found right, and no
 * more than one slice is held at a time.
 */

import { AbortError, BundleError, throwIfAborted } from "./errors.ts";
import type { FileEntry } from "./manifest.gen.ts";

/** Part of a file. */
export interface Region {
  offset: number;
  bytes: number;
}

export interface Source {
  url: string;
  /** The file's name in the bundle, for messages. */
  file: string;
  entry: FileEntry;
}

export interface DownloadOptions {
  signal?: AbortSignal | undefined;
  /** Called with the number of bytes that just came in, those of slices that are wanted. */
  onBytes?: ((bytes: number) => void) | undefined;
  /** Room for the largest slice, where several files follow each other: old rooms would wait to be collected. */
  room?: Uint8Array<ArrayBuffer> | undefined;
}

/** Gets `bytes` of the file from `offset` on; they are only its own until it returns. */
export type Sink = (offset: number, bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;

/** Fetches, and throws BundleError or AbortError in plain words where that fails. */
export async function request(
  url: string,
  file: string,
  { signal, range }: { signal?: AbortSignal | undefined; range?: string },
): Promise<Response> {
  const response = await fetch(url, { signal: signal ?? null, ...(range && { headers: { Range: range } }) }).catch(
    (error: unknown) => {
      throw downloadError(error, file, signal);
    },
  );
  if (response.ok) return response;
  await response.body?.cancel();
  const missing = response.status === 404 || response.status === 410;
  const what = missing ? "is missing" : `could not be fetched (HTTP ${response.status})`;
  throw new BundleError(`${file} ${what} at ${url}. Check the bundle's address and that all of it was uploaded.`, file);
}

/** The indices of the slices that a region of `wanted` touches, as runs [first, last] of neighbours. */
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

/** Bytes that `download` fetches for `wanted`: whole slices, since only those can be checked. */
export function downloadBytes(entry: FileEntry, wanted: readonly Region[]): number {
  return wantedRuns(entry, wanted)
    .map(([first, last]) => Math.min((last + 1) * entry.slice_bytes, entry.bytes) - first * entry.slice_bytes)
    .reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * Fetches the slices of a file that `wanted` touches, checks each and hands it to `sink`, in order. Throws BundleError
 * that names file and slice where one is missing, short or altered, and AbortError.
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
  { signal, onBytes, room }: DownloadOptions,
): Promise<void> {
  const start = first * entry.slice_bytes;
  const end = Math.min((last + 1) * entry.slice_bytes, entry.bytes);
  const whole = start === 0 && end === entry.bytes;
  const response = await request(url, file, { signal, ...(!whole && { range: `bytes=${start}-${end - 1}` }) });
  const body = new ByteReader(response, file, signal);
  try {
    // A server that knows no ranges sends the file from its start.
    if (response.status === 200) await body.skip(start, first);
    const slice = room ?? new Uint8Array(Math.min(entry.slice_bytes, end - start));
    for (let index = first; index <= last; index++) {
      const offset = index * entry.slice_bytes;
      const bytes = slice.subarray(0, Math.min(entry.slice_bytes, end - offset));
      await body.fill(bytes, index, onBytes);
      await checkDigest(bytes, entry.sha256[index], file, index);
      throwIfAborted(signal);
      await sink(offset, bytes);
    }
  } finally {
    await body.close();
  }
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
    `Slice ${slice} of ${file} was altered: its SHA-256 is ${found}, but the manifest says ${expected}. Reload; if ` +
      "that does not help, upload the bundle again.",
    file,
    slice,
  );
}

/** The bytes of a response's body, in the portions that the caller asks for. */
class ByteReader {
  #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** What came in and was not taken yet. */
  #rest = new Uint8Array(0);

  constructor(
    response: Response,
    private readonly file: string,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#reader = (response.body ?? new Blob([]).stream()).getReader();
  }

  /** Fills `target`, or throws BundleError where the body ends first. */
  async fill(target: Uint8Array, slice: number, onBytes?: (bytes: number) => void): Promise<void> {
    for (let filled = 0; filled < target.length; ) {
      const part = await this.#take(target.length - filled, slice, target.length, filled);
      target.set(part, filled);
      filled += part.length;
      onBytes?.(part.length);
    }
  }

  /** Drops `count` bytes. */
  async skip(count: number, slice: number): Promise<void> {
    for (let left = count; left > 0; ) left -= (await this.#take(left, slice, count, count - left)).length;
  }

  async #take(most: number, slice: number, expected: number, found: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#reader.read().catch((error: unknown) => {
        throw downloadError(error, this.file, this.signal, slice);
      });
      if (done) throw this.#short(slice, expected, found);
      this.#rest = value as Uint8Array<ArrayBuffer>;
    }
    const part = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }

  #short(slice: number, expected: number, found: number): BundleError {
    const message = `${this.file} is short: slice ${slice} ended after ${found} of ${expected} bytes. Upload the file again.`;
    return new BundleError(message, this.file, slice);
  }

  /** Stops the download where it is not over yet. */
  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
  }
}

function downloadError(error: unknown, file: string, signal: AbortSignal | undefined, slice?: number): Error {
  if (signal?.aborted) return new AbortError("The download was stopped at the caller's request.");
  const cause = error instanceof Error ? error.message : String(error);
  return new BundleError(
    `The download of ${file} broke off (${cause}). Check the connection and try again.`,
    file,
    slice,
  );
}
