/**
 * Limits of images, audio and video: more is rejected before any work, or as soon as it is found. Mirrors
 * gemtab/media/limits.py.
 */

import { MediaError } from "../errors.ts";

/** The range of audio sample rates, in Hz. */
export const LOWEST_RATE = 8_000;
export const HIGHEST_RATE = 192_000;
/** The maximum number of audio samples: 512 MiB, 46 minutes at 48 kHz. */
export const MOST_SAMPLES = 1 << 27;
/** The maximum number of recordings that follow one another in an Ogg file. */
export const MOST_RECORDINGS = 1_000;
/** The maximum number of pixels of an image or a video frame. */
export const MAX_PIXELS = 8192 * 8192;
/** The maximum number of frames of a video: ten hours at 30 frames a second. */
export const MOST_FRAMES = 1 << 20;
/** The maximum duration of a video, in seconds from the first frame to the last. */
export const MOST_SECONDS = 6 * 3600;
/** The maximum bytes of a video's decoded frames. */
export const MOST_VIDEO_BYTES = 2 ** 30;
/** The maximum bytes of an image file, and of an audio or video file. */
export const MOST_IMAGE_BYTES = 256 * 2 ** 20;
export const MOST_FILE_BYTES = 2 * 2 ** 30;

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
export function checkSamples(count: number, rate: number, name: string, most = MOST_SAMPLES): void {
  if (count <= most) return;
  throw new MediaError(`${name} is longer than ${Math.round(MOST_SAMPLES / rate / 60)} minutes. Cut it first.`);
}

/** Check the length of a video. Throws MediaError for too many frames or seconds. */
export function checkLength(frames: number, seconds: number, name: string): void {
  if (frames <= MOST_FRAMES && seconds <= MOST_SECONDS) return;
  throw new MediaError(
    `${name} is too long: at most ${MOST_FRAMES.toLocaleString("en")} frames in ${MOST_SECONDS / 3600} hours are ` +
      "looked through. Cut it first.",
  );
}
