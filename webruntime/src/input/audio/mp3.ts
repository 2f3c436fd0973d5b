/** Reads the table of contents in the first frame of most MP3 files. */

import { read, text } from "./bytes.ts";
import { join } from "./join.ts";
import { TABLE_OFFSETS } from "./mpeg.ts";

/** An MP3 file's counts of its samples. */
export interface Mp3Table {
  /** The samples that the encoder and the decoder have put before the audio. */
  delay: number;
  /**
   * The first and the last sample of the padding in the last frame, delay included. Undefined where the file does not
   * state the padding.
   */
  filling: { start: number; end: number } | undefined;
}

/** The bytes from the table's name to the delay and the padding, 12 bits each; and to the encoder's name. */
const DELAY_AT = 141;
const ENCODER_AT = 120;

/** The encoders that write delay and padding. */
const ENCODERS = ["LAME", "Lavf", "Lavc"];

/** The delay of any MP3 decoder, in samples. */
const DECODER_DELAY = 529;

const HAS_FRAMES = 1;
const HAS_BYTES = 2;

/** Return the table of an MP3 that consists of frames only. Undefined where no table counts samples. */
export async function readMp3Table(blob: Blob): Promise<Mp3Table | undefined> {
  const view = await read(blob, 0, 256);
  if (view.byteLength < 160) return undefined;
  const version = (view.getUint8(1) >> 3) & 3;
  const at = TABLE_OFFSETS[`${version}${view.getUint8(3) >> 6 === 3 ? " mono" : ""}`];
  if (at === undefined || !["Xing", "Info"].includes(text(view, at))) return undefined;
  if (view.byteLength < at + DELAY_AT + 4 || !ENCODERS.includes(text(view, at + ENCODER_AT))) return undefined;
  const pads = view.getUint32(at + DELAY_AT) >>> 8;
  const end = view.getUint32(at + 8) * (version === 3 ? 1152 : 576);
  const flags = view.getUint32(at + 4);
  const counted = flags & HAS_FRAMES && !(flags & HAS_BYTES && isLonger(blob.size, view.getUint32(at + 12)));
  return {
    delay: (pads >> 12) + DECODER_DELAY,
    filling: counted ? { start: end - (pads & 0xfff) + DECODER_DELAY, end } : undefined,
  };
}

/** Whether the file is longer than the table declares, as where files were concatenated. This is ffmpeg's rule. */
function isLonger(size: number, declared: number): boolean {
  return declared > 0 && size - declared > declared >> 4;
}

/**
 * Return `samples` without the delay and the padding that the table states. The file may have fewer or more samples
 * than the table counts.
 */
export function withoutFilling(samples: Float32Array, { delay, filling }: Mp3Table): Float32Array {
  if (!filling || filling.start >= Math.min(filling.end, samples.length)) return samples.subarray(delay);
  const audio = samples.subarray(delay, filling.start);
  if (filling.end >= samples.length) return audio;
  const more = samples.subarray(filling.end);
  return join([audio, more], audio.length + more.length);
}
