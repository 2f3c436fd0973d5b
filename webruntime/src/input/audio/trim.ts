/** Removes from decoded samples all that is not the recording. */

import type { Input, InputAudioTrack } from "mediabunny";
import { COARSE } from "../facts.gen.ts";
import { type Edits, readEdits } from "../video/edits.ts";
import { join } from "./join.ts";

/** Formats, by mediabunny's names, in which the packets' lengths give the end of the audio. */
const ENDED = ["MP4", "QuickTime File Format", "Ogg"];

/** Codecs whose decoder itself removes the samples before time 0. */
const BEFORE_BY_ITSELF = ["opus", "vorbis"];

/** The source of decoded samples. */
export interface Decoded {
  blob: Blob;
  input: Input;
  track: InputAudioTrack;
  rate: number;
  /** Seconds at the beginning and at the end that are not part of the recording, as the file states. */
  delay: number;
  filling: number;
}

/** Return `samples` without the encoder's delay and padding, and without the parts that an editor has cut away. */
export async function trim(samples: Float32Array, source: Decoded): Promise<Float32Array> {
  const { blob, track, rate, filling } = source;
  const edits = await readEdits(blob, track.id);
  if (edits) return applyEdits(samples, track, rate, edits);
  const trimmed = await trimToPackets(samples, source);
  return trimmed.subarray(0, trimmed.length - Math.round(filling * rate));
}

/** Return `samples` without those before time 0 and, where it is known, after the end of the last packet. */
async function trimToPackets(samples: Float32Array, { input, track, rate, delay }: Decoded): Promise<Float32Array> {
  const format = (await input.getFormat()).name;
  const first = await track.getFirstTimestamp();
  const codec = (await track.getCodec()) ?? "";
  const before = BEFORE_BY_ITSELF.includes(codec) ? 0 : Math.max(0, Math.round(Math.max(delay, -first) * rate));
  if (!ENDED.includes(format)) return samples.subarray(before);
  const seconds = (await track.computeDuration()) - Math.max(0, first);
  // If an Ogg file begins with time 0, mediabunny's times begin after the removed samples.
  const left = format === "Ogg" && first <= 0 ? 0 : await leftOut(track);
  return samples.subarray(before, before + Math.max(0, Math.round(seconds * rate) - left));
}

/** Return the parts of a track that its edit list shows, without padding of packets. */
async function applyEdits(
  samples: Float32Array,
  track: InputAudioTrack,
  rate: number,
  { timescale, origin, parts }: Edits,
): Promise<Float32Array> {
  const first = Math.round((await track.getFirstTimestamp()) * timescale) + origin;
  const end = Math.round((await track.computeDuration()) * timescale) + origin;
  const left = await leftOut(track);
  const at = (tick: number) => Math.max(0, Math.round(((tick - first) * rate) / timescale) - left);
  const shown = parts.map(({ start, length }) => {
    const last = start + length;
    return samples.subarray(at(start), at(last < end - COARSE * timescale ? last : end));
  });
  const [only] = shown;
  return only && shown.length === 1
    ? only
    : join(
        shown,
        shown.reduce((sum, { length }) => sum + length, 0),
      );
}

/**
 * Return the number of samples that the decoder removes at the beginning of a track: for Opus, the number in its
 * header.
 */
async function leftOut(track: InputAudioTrack): Promise<number> {
  const description = (await track.getDecoderConfig())?.description;
  if ((await track.getCodec()) !== "opus" || !description) return 0;
  const header = ArrayBuffer.isView(description)
    ? new DataView(description.buffer, description.byteOffset, description.byteLength)
    : new DataView(description);
  return header.byteLength < 12 ? 0 : header.getUint16(10, true);
}
