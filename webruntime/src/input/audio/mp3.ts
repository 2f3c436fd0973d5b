/** The table of contents that stands in the first frame of most MP3 files. */

import { read, text } from "./bytes.ts";
import { join } from "./join.ts";
import { TABLE_OFFSETS } from "./mpeg.ts";

/** What an MP3 file says about its samples. */
export interface Mp3Table {
  /** Samples that the encoder and the decoder have put before the sound. */
  delay: number;
  /** Where what fills up the last frame begins and ends, counted with the delay; undefined where that is not said. */
  filling: { start: number; end: number } | undefined;
}

/** Bytes from the table's name to the delay and the padding, 12 bits each, and how far the encoder's name is. */
const DELAY_AT = 141;
const ENCODER_AT = 120;

/** Encoders that write them. */
const ENCODERS = ["LAME", "Lavf", "Lavc"];

/** Samples by which any MP3 decoder is late. */
const DECODER_DELAY = 529;

const HAS_FRAMES = 1;
const HAS_BYTES = 2;

/** The table of an MP3 that is all frames; undefined where it has none that counts samples. */
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

/** Whether more follows than the table counts, as where files were put one behind the other: ffmpeg's rule. */
function isLonger(size: number, declared: number): boolean {
  return declared > 0 && size - declared > declared >> 4;
}

/** `samples` without what the table says is none of the sound. The file may have fewer than it counts, or more. */
export function withoutFilling(samples: Float32Array, { delay, filling }: Mp3Table): Float32Array {
  if (!filling || filling.start >= Math.min(filling.end, samples.length)) return samples.subarray(delay);
  const sound = samples.subarray(delay, filling.start);
  if (filling.end >= samples.length) return sound;
  const more = samples.subarray(filling.end);
  return join([sound, more], sound.length + more.length);
}
