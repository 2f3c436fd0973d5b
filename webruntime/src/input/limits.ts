/**
 * How much of images, audio and video is read: more is refused before any work, or as soon as it is seen.
 * gemtab/media/limits.py says the same.
 */

import { MediaError } from "../errors.ts";

/** Rates in Hz of audio that is read. */
export const LOWEST_RATE = 8_000;
export const HIGHEST_RATE = 192_000;
/** Of audio: 512 MiB, 46 minutes at 48 kHz. */
export const MOST_SAMPLES = 1 << 27;
/** That follow one another in an Ogg file. */
export const MOST_RECORDINGS = 1_000;
/** Of an image, or of a frame of a video. */
export const MAX_PIXELS = 8192 * 8192;
/** Of a video: ten hours at 30 a second. */
export const MOST_FRAMES = 1 << 20;
/** Of a video, from the first frame to the last. */
export const MOST_SECONDS = 6 * 3600;
/** That the frames of a video may take while they are looked at. */
export const MOST_CLIP_BYTES = 2 ** 30;
/** Of a file of an image, and of one of audio or video. */
export const MOST_IMAGE_BYTES = 256 * 2 ** 20;
export const MOST_FILE_BYTES = 2 * 2 ** 30;

/** Throws MediaError for a file with more than `most` bytes, and for an empty one. */
export function checkBytes(blob: Blob, name: string, most: number): void {
  if (blob.size === 0) throw new MediaError(`${name} is empty: it has 0 bytes. Choose another file.`);
  if (blob.size <= most) return;
  throw new MediaError(
    `${name} has ${blob.size.toLocaleString("en")} bytes, and at most ${most.toLocaleString("en")} are read. Make it ` +
      "smaller, or cut it.",
  );
}

/** Throws MediaError for a rate of audio that is not read. */
export function checkRate(rate: number, name: string): void {
  if (rate >= LOWEST_RATE && rate <= HIGHEST_RATE) return;
  throw new MediaError(`${name} has ${rate} samples a second; from ${LOWEST_RATE} to ${HIGHEST_RATE} are read.`);
}

/** Throws MediaError for more samples than are read. */
export function checkSamples(count: number, rate: number, name: string, most = MOST_SAMPLES): void {
  if (count <= most) return;
  throw new MediaError(`${name} is longer than ${Math.round(MOST_SAMPLES / rate / 60)} minutes. Cut it first.`);
}

/** Throws MediaError for a video of more frames than are looked through, or a longer one. */
export function checkLength(frames: number, seconds: number, name: string): void {
  if (frames <= MOST_FRAMES && seconds <= MOST_SECONDS) return;
  throw new MediaError(
    `${name} is too long: at most ${MOST_FRAMES.toLocaleString("en")} frames in ${MOST_SECONDS / 3600} hours are ` +
      "looked through. Cut it first.",
  );
}
