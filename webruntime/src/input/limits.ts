/**
 * Limits of images, audio and video: more is rejected before any work, or as soon as it is found. Mirrors
 * gemtab/media/limits.py.
 */

import { MediaError } from "../errors.ts";
import { HIGHEST_RATE, LOWEST_RATE, MAX_FRAMES, MAX_SAMPLES, MAX_SECONDS } from "./facts.gen.ts";

export {
  HIGHEST_RATE,
  LOWEST_RATE,
  MAX_FILE_BYTES,
  MAX_FRAMES,
  MAX_IMAGE_BYTES,
  MAX_PIXELS,
  MAX_RECORDINGS,
  MAX_SAMPLES,
  MAX_SECONDS,
  MAX_VIDEO_BYTES,
} from "./facts.gen.ts";

/** Check a file's size. Throws MediaError for a file with more than `most` bytes, and for an empty one. */
export function checkBytes(blob: Blob, name: string, most: number): void {
  if (blob.size === 0) throw new MediaError(`${name} is empty: it has 0 bytes. Choose another file.`);
  if (blob.size <= most) return;
  throw new MediaError(
    `${name} has ${blob.size.toLocaleString("en")} bytes; the limit is ${most.toLocaleString("en")}. Make it ` +
      "smaller, or cut it.",
  );
}

/** Check an audio sample rate, in Hz. Throws MediaError for a rate out of range. */
export function checkRate(rate: number, name: string): void {
  if (rate >= LOWEST_RATE && rate <= HIGHEST_RATE) return;
  throw new MediaError(`${name} has ${rate} samples a second; the range is ${LOWEST_RATE} to ${HIGHEST_RATE}.`);
}

/** Check a number of samples. Throws MediaError for more than `most`. */
export function checkSamples(count: number, rate: number, name: string, most = MAX_SAMPLES): void {
  if (count <= most) return;
  throw new MediaError(`${name} is longer than ${Math.round(MAX_SAMPLES / rate / 60)} minutes. Cut it first.`);
}

/** Check the length of a video. Throws MediaError for too many frames or seconds. */
export function checkLength(frames: number, seconds: number, name: string): void {
  if (frames <= MAX_FRAMES && seconds <= MAX_SECONDS) return;
  throw new MediaError(
    `${name} is too long: at most ${MAX_FRAMES.toLocaleString("en")} frames in ${MAX_SECONDS / 3600} hours are ` +
      "looked through. Cut it first.",
  );
}
