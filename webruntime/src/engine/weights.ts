/** Streams weights from the network to the GPU, or to storage. */

import { sliceBuffer } from "../bundle/body.ts";
import type { Bundle } from "../bundle/bundle.ts";
import type { FileEntry } from "../bundle/manifest.gen.ts";
import { Rate } from "../bundle/rate.ts";
import { download, downloadBytes, type Region, type Sink } from "../bundle/slices.ts";
import { BundleError } from "../errors.ts";
import type { LoadProgress } from "../messages.ts";
import { type OnStall, watched } from "../patience.ts";

/** The least number of milliseconds between two reports of progress. */
const PROGRESS_MS = 50;

/** A part of a file, and its destination. */
export interface Target extends Region {
  /** Takes bytes of the part. at: the index of the first, from the start of the part. */
  write(at: number, bytes: Uint8Array<ArrayBuffer>): void | Promise<void>;
}

/** The part that two regions of a file share. `bytes` is 0 or less if they share none. */
export function overlap(a: Region, b: Region): Region {
  const offset = Math.max(a.offset, b.offset);
  return { offset, bytes: Math.min(a.offset + a.bytes, b.offset + b.bytes) - offset };
}

/**
 * Downloads and verifies parts of a bundle's files, and writes them to their targets, slice by slice.
 *
 * @param wanted the files' paths in the bundle, and the parts
 * @throws BundleError as `download` does, what targets throw, and AbortError
 */
export async function uploadWeights(
  device: GPUDevice,
  bundle: Bundle,
  wanted: readonly [file: string, target: Target][],
  options: { signal: AbortSignal; onProgress: (progress: LoadProgress) => void; onStall?: OnStall },
): Promise<void> {
  const files = [...new Set(wanted.map(([file]) => file))].map((file) => {
    const targets = wanted.filter(([other]) => other === file).map(([, target]) => target);
    const entry = bundle.manifest.files[file];
    if (!entry) throw new BundleError(`The manifest does not list ${file}.`, file);
    return { source: { url: bundle.urlOf(file), file, entry }, targets };
  });
  const total = files.reduce((sum, { source, targets }) => sum + downloadBytes(source.entry, targets), 0);
  const onBytes = progressMeter(total, options.onProgress);
  const buffer = sliceBuffer(Math.max(0, ...files.map(({ source: { entry } }) => largestSlice(entry))));
  for (const { source, targets } of files) {
    await download(source, targets, uploader(device, targets, options.onStall), {
      signal: options.signal,
      onBytes,
      buffer,
    });
  }
}

function largestSlice({ bytes, slice_bytes }: FileEntry): number {
  return Math.min(bytes, slice_bytes);
}

/** A sink that writes a slice to each target that it overlaps. */
function uploader(device: GPUDevice, targets: readonly Target[], onStall: OnStall | undefined): Sink {
  return async (offset, bytes) => {
    for (const target of targets) {
      const part = overlap(target, { offset, bytes: bytes.length });
      if (part.bytes <= 0) continue;
      const start = part.offset - offset;
      await target.write(part.offset - target.offset, bytes.subarray(start, start + part.bytes));
    }
    // The browser keeps a copy of written data until the GPU is done. Wait, so that copies do not accumulate.
    device.queue.submit([]);
    await watched(device.queue.onSubmittedWorkDone(), onStall);
  };
}

/** Adds up arriving bytes. Reports them and their rate at most every PROGRESS_MS, and at the end. */
function progressMeter(total: number, report: (progress: LoadProgress) => void): (bytes: number) => void {
  const rate = new Rate(performance.now());
  let loaded = 0;
  let reported = Number.NEGATIVE_INFINITY;
  return (bytes) => {
    loaded += bytes;
    const now = performance.now();
    if (now - reported < PROGRESS_MS && loaded < total) return;
    reported = now;
    report({ stage: "download", loaded, total, bytesPerSecond: rate.update(loaded, now) });
  };
}
