/** Sounds from files to mono samples, by the browser's decoders, in a worker. */

import type { AudioSample, Input, InputAudioTrack } from "mediabunny";
import { GemtabError, MediaError, throwIfAborted } from "../../errors.ts";
import { notDecoded } from "../codecs.ts";
import { blobName } from "../image/decode.ts";
import { checkBytes, checkRate, checkSamples, MOST_FILE_BYTES, MOST_RECORDINGS, MOST_SAMPLES } from "../limits.ts";
import { isWholeClip } from "../video/whole.ts";
import { type SoundPart, soundParts } from "./file.ts";
import { join } from "./join.ts";
import { withoutFilling } from "./mp3.ts";
import { trim } from "./trim.ts";

/** What a sound can be saved as, by codec. */
const OTHERS = { wav: "WAV", mp3: "MP3", flac: "FLAC", opus: "Opus" };

/** Mono, full scale ±1, and samples a second. */
export interface Sound {
  samples: Float32Array;
  rate: number;
}

/**
 * The first sound track in a file. Channels are averaged with equal weights, so that a mix cannot clip. Throws
 * MediaError for what cannot be read, and AbortError when the signal fires.
 */
export async function decodeAudio(blob: Blob, { signal }: { signal?: AbortSignal } = {}): Promise<Sound> {
  const name = blobName(blob, "The sound");
  checkBytes(blob, name, MOST_FILE_BYTES);
  const sounds: Sound[] = [];
  let total = 0;
  const recordings = await soundParts(blob, name);
  if (recordings.length > MOST_RECORDINGS) {
    throw new MediaError(
      `${name} has ${recordings.length} recordings; at most ${MOST_RECORDINGS} are read. Cut it first.`,
    );
  }
  for (const part of recordings) {
    const sound = await decodePart(part, name, MOST_SAMPLES - total, signal);
    sounds.push(sound);
    total += sound.samples.length;
  }
  const rate = onlyRate([...new Set(sounds.map((each) => each.rate))], name);
  const [first] = sounds;
  return first && sounds.length === 1
    ? first
    : {
        samples: join(
          sounds.map((each) => each.samples),
          total,
        ),
        rate,
      };
}

/** The mean of channels of equal length, as of a microphone. */
export function mixToMono(channels: readonly Float32Array[]): Float32Array {
  const [first, ...others] = channels;
  if (!first) return new Float32Array();
  return first.map((value, i) => others.reduce((sum, channel) => sum + (channel[i] ?? 0), value) / channels.length);
}

async function decodePart(
  part: SoundPart,
  name: string,
  most: number,
  signal: AbortSignal | undefined,
): Promise<Sound> {
  const input = await open(part);
  try {
    return await decode(input, part, name, most, signal);
  } catch (error) {
    if (error instanceof GemtabError) throw error;
    if (!(await isWholeClip(part.blob))) throw incomplete(name);
    throw unreadable(name, error instanceof Error ? error.message.replace(/\.$/, "") : String(error));
  } finally {
    input.dispose();
  }
}

async function open({ blob, kind }: SoundPart): Promise<Input> {
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
  { blob, table, samples: known, delay = 0, filling = 0 }: SoundPart,
  name: string,
  most: number,
  signal: AbortSignal | undefined,
): Promise<Sound> {
  const tracks = await input.getTracks();
  const track = tracks.find((each) => each.isAudioTrack());
  if (tracks.length === 0) throw new Error("nothing is in it");
  if (!track) throw new MediaError(`${name} has no sound track.`);
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
    `${name} has sound in the codec ${codec}, which this browser does not decode. Save it as ${advice}.`,
  );
}

async function decodeTrack(
  track: InputAudioTrack,
  name: string,
  most: number,
  signal: AbortSignal | undefined,
): Promise<Sound> {
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
  if (rate === undefined) throw unreadable(name, "no sound is in it");
  if (others.length > 0) {
    throw new MediaError(`${name} has now ${rate}, now ${others[0]} samples a second. Save it at one rate.`);
  }
  return rate;
}

/** The channels of a decoded sample, averaged. */
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
    `${name} cannot be read as sound (${reason}): it is damaged, incomplete, or of another kind than WAV, MP3, OGG, ` +
      "FLAC, MP4 and WebM. Try to save or download it again.",
  );
}
