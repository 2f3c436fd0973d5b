/** Decodes audio files to mono samples with the browser's decoders, in a worker. */

import type { AudioSample, Input, InputAudioTrack } from "mediabunny";
import { GemtabError, MediaError, throwIfAborted } from "../../errors.ts";
import { notDecoded } from "../codecs.ts";
import { blobName } from "../image/decode.ts";
import { checkBytes, checkRate, checkSamples, MAX_FILE_BYTES, MAX_RECORDINGS, MAX_SAMPLES } from "../limits.ts";
import { isWholeVideo } from "../video/whole.ts";
import { type AudioFilePart, audioFileParts } from "./file.ts";
import { join } from "./join.ts";
import { withoutFilling } from "./mp3.ts";
import { trim } from "./trim.ts";

/** Formats to save audio as, by codec. */
const OTHERS = { wav: "WAV", mp3: "MP3", flac: "FLAC", opus: "Opus" };

/** Decoded audio: one channel, full scale ±1. rate: samples a second. */
export interface DecodedAudio {
  samples: Float32Array;
  rate: number;
}

/**
 * Decode the first audio track of a file. Channels are averaged with equal weights, so that the mix cannot clip. Throws
 * MediaError for an unreadable file, and AbortError when the signal fires.
 */
export async function decodeAudio(blob: Blob, { signal }: { signal?: AbortSignal } = {}): Promise<DecodedAudio> {
  const name = blobName(blob, "The audio");
  checkBytes(blob, name, MAX_FILE_BYTES);
  const decoded: DecodedAudio[] = [];
  let total = 0;
  const recordings = await audioFileParts(blob, name);
  if (recordings.length > MAX_RECORDINGS) {
    throw new MediaError(`${name} has ${recordings.length} recordings; the limit is ${MAX_RECORDINGS}. Cut it first.`);
  }
  for (const part of recordings) {
    const audio = await decodePart(part, name, MAX_SAMPLES - total, signal);
    decoded.push(audio);
    total += audio.samples.length;
  }
  const rate = onlyRate([...new Set(decoded.map((each) => each.rate))], name);
  const [first] = decoded;
  return first && decoded.length === 1
    ? first
    : {
        samples: join(
          decoded.map((each) => each.samples),
          total,
        ),
        rate,
      };
}

/** Return the mean of channels of equal length, such as a microphone's. */
export function mixToMono(channels: readonly Float32Array[]): Float32Array {
  const [first, ...others] = channels;
  if (!first) return new Float32Array();
  return first.map((value, i) => others.reduce((sum, channel) => sum + (channel[i] ?? 0), value) / channels.length);
}

async function decodePart(
  part: AudioFilePart,
  name: string,
  most: number,
  signal: AbortSignal | undefined,
): Promise<DecodedAudio> {
  const input = await open(part);
  try {
    return await decode(input, part, name, most, signal);
  } catch (error) {
    if (error instanceof GemtabError) throw error;
    if (!(await isWholeVideo(part.blob))) throw incomplete(name);
    throw unreadable(name, error instanceof Error ? error.message.replace(/\.$/, "") : String(error));
  } finally {
    input.dispose();
  }
}

async function open({ blob, kind }: AudioFilePart): Promise<Input> {
  const { ADTS, BlobSource, FLAC, Input, MATROSKA, MP3, MP4, OGG, QTFF, WAVE, WEBM } = await import("mediabunny");
  const formats = {
    WAVE: [WAVE],
    MP3: [MP3],
    ADTS: [ADTS],
    FLAC: [FLAC],
    OGG: [OGG],
    MATROSKA: [WEBM, MATROSKA],
    OTHER: [MP4, QTFF],
  };
  return new Input({ source: new BlobSource(blob), formats: formats[kind] });
}

async function decode(
  input: Input,
  { blob, table, samples: known, delay = 0, filling = 0 }: AudioFilePart,
  name: string,
  most: number,
  signal: AbortSignal | undefined,
): Promise<DecodedAudio> {
  const tracks = await input.getTracks();
  const track = tracks.find((each) => each.isAudioTrack());
  if (tracks.length === 0) throw new Error("it is empty");
  if (!track) throw new MediaError(`${name} has no audio track.`);
  await checkCodec(track, name);
  const { samples, rate } = await decodeTrack(track, name, most, signal);
  if (table) return { samples: withoutFilling(samples, table), rate };
  if (known !== undefined) return { samples: samples.subarray(0, known), rate };
  return { samples: await trim(samples, { blob, input, track, rate, delay, filling }), rate };
}

async function checkCodec(track: InputAudioTrack, name: string): Promise<void> {
  if (await track.canDecode()) return;
  const { codec, advice } = await notDecoded(track, OTHERS);
  throw new MediaError(
    `${name} has audio in the codec ${codec}, which this browser does not decode. Save it as ${advice}.`,
  );
}

async function decodeTrack(
  track: InputAudioTrack,
  name: string,
  most: number,
  signal: AbortSignal | undefined,
): Promise<DecodedAudio> {
  const { AudioSampleSink } = await import("mediabunny");
  const parts: Float32Array[] = [];
  const rates = new Set<number>();
  let total = 0;
  for await (const sample of new AudioSampleSink(track).samples()) {
    try {
      throwIfAborted(signal);
      checkRate(sample.sampleRate, name);
      total += sample.numberOfFrames;
      checkSamples(total, sample.sampleRate, name, most);
      parts.push(readMono(sample));
      rates.add(sample.sampleRate);
    } finally {
      sample.close();
    }
  }
  return { samples: join(parts, total), rate: onlyRate([...rates], name) };
}

function onlyRate([rate, ...others]: number[], name: string): number {
  if (rate === undefined) throw unreadable(name, "it has no audio");
  if (others.length > 0) {
    throw new MediaError(`${name} has parts with ${rate} and with ${others[0]} samples a second. Save it at one rate.`);
  }
  return rate;
}

/** Return the mean of the channels of a decoded sample. */
function readMono(sample: AudioSample): Float32Array {
  const channels = Array.from({ length: sample.numberOfChannels }, (_, planeIndex) => {
    const plane = new Float32Array(sample.numberOfFrames);
    sample.copyTo(plane, { planeIndex, format: "f32-planar" });
    return plane;
  });
  return mixToMono(channels);
}

function incomplete(name: string): MediaError {
  return new MediaError(`${name} is incomplete: its end is missing. Try to save or download it again.`);
}

function unreadable(name: string, reason: string): MediaError {
  return new MediaError(
    `${name} cannot be read as audio (${reason}): it is damaged, incomplete, or not one of WAV, MP3, OGG, ` +
      "FLAC, MP4 and WebM. Try to save or download it again.",
  );
}
