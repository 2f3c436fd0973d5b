/** Clips: a few frames of them, each a picture with its time, by the browser's decoders, in a worker. */

import type { Input, InputVideoTrack, VideoSample, VideoSampleSink } from "mediabunny";
import { GemtabError, MediaError, throwIfAborted, UsageError } from "../../errors.ts";
import { bitsOf, notDecoded } from "../codecs.ts";
import { blobName, checkSize } from "../image/decode.ts";
import { type ImageInputs, imageInputs } from "../image/inputs.ts";
import type { RgbImage } from "../image/resample.ts";
import type { VideoRules } from "../image/rules.ts";
import { checkBytes, checkLength, MOST_FILE_BYTES } from "../limits.ts";
import { useColourDecoder } from "./colour-decoder.ts";
import { readEdits, type Shown, shownFrames } from "./edits.ts";
import { readRgb } from "./frame.ts";
import { unreadKind } from "./kinds.ts";
import { isWholeClip } from "./whole.ts";

export interface VideoInputs {
  frames: ImageInputs[];
  /** When each frame is shown, counted from the first. */
  seconds: number[];
  /** The same as it stands in prompts: "mm:ss". */
  stamps: string[];
  hasSound: boolean;
}

export interface VideoOptions {
  /** How many are looked at; by default as the model has it. */
  frames?: number;
  signal?: AbortSignal;
}

/** What a clip can be saved as, by codec. */
const OTHERS = { avc: "MP4 with H.264", av1: "MP4 with AV1", vp9: "WebM with VP9" };

/** Seconds that times of one frame differ by. */
const SAME_TIME = 1e-6;

/**
 * So many frames of a clip, evenly spread over all that are shown, or all where there are fewer: also where the rate
 * varies, it is frames that are counted, and each has its own time. Mirrors gemtab/media/video.py, to the bit but where
 * yuv.ts says otherwise.
 *
 * Throws MediaError for what cannot be read, UsageError for less than one frame, and AbortError when the signal fires.
 */
export async function decodeVideo(blob: Blob, rules: VideoRules, options: VideoOptions = {}): Promise<VideoInputs> {
  const { frames = rules.frames, signal } = options;
  if (frames < 1) throw new UsageError(`At least one frame of a clip must be looked at, not ${frames}.`);
  const name = blobName(blob, "The clip");
  checkBytes(blob, name, MOST_FILE_BYTES);
  const unread = await unreadKind(blob);
  if (unread) {
    throw new MediaError(`${name} is ${unread}, which browsers do not read as a clip. Save it as MP4 with H.264.`);
  }
  if (!(await isWholeClip(blob))) {
    throw new MediaError(`${name} is incomplete: its end is missing. Save or download it again.`);
  }
  const input = await open(blob);
  try {
    const track = await pictureTrack(input, name);
    const shown = shownFrames(await frameTimes(track, name, signal), await readEdits(blob, track.id));
    if (shown.length === 0) throw new Error("none of its frames is shown");
    const chosen = sample(shown.length, frames).map((index) => shown[index] as Shown);
    const seconds = chosen.map(({ at }) => at - (shown[0] as Shown).at);
    const inputs: ImageInputs[] = [];
    const times = chosen.map(({ time }) => time);
    for await (const frame of decodeFrames(track, times, name)) {
      inputs.push(imageInputs(frame, rules.image));
      throwIfAborted(signal);
    }
    const hasSound = (await input.getPrimaryAudioTrack()) !== null;
    return { frames: inputs, seconds, stamps: seconds.map(stamp), hasSound };
  } catch (error) {
    if (error instanceof GemtabError) throw error;
    throw damaged(name, error instanceof Error ? error.message : String(error));
  } finally {
    input.dispose();
  }
}

/** Whether a container of clips holds a sound and no pictures. Throws where it is no such container, or damaged. */
export async function hasSoundAlone(blob: Blob): Promise<boolean> {
  const input = await open(blob);
  try {
    const tracks = await input.getTracks();
    return tracks.some((track) => track.isAudioTrack()) && !tracks.some((track) => track.isVideoTrack());
  } finally {
    input.dispose();
  }
}

/** Which of `total` frames are looked at: `count` in equal steps from the first, or all. */
export function sample(total: number, count: number): number[] {
  const chosen = Math.min(count, total);
  return Array.from({ length: chosen }, (_, step) => Math.floor((step * total) / chosen));
}

/** The time of a frame as it stands in prompts. */
export function stamp(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(Math.floor(seconds / 60))}:${two(Math.floor(seconds % 60))}`;
}

async function open(blob: Blob): Promise<Input> {
  const { BlobSource, Input, MATROSKA, MP4, QTFF, WEBM } = await import("mediabunny");
  return new Input({ source: new BlobSource(blob), formats: [MP4, QTFF, WEBM, MATROSKA] });
}

async function pictureTrack(input: Input, name: string): Promise<InputVideoTrack> {
  if ((await input.getTracks()).length === 0) throw new Error("nothing is in it");
  const track = await input.getPrimaryVideoTrack();
  if (!track) {
    throw new MediaError(`${name} has no pictures: there is no video track in it. Attach it as a sound instead.`);
  }
  checkSize(await track.getCodedWidth(), await track.getCodedHeight(), name);
  if (!(await canDecode(track))) {
    const { codec, advice } = await notDecoded(track, OTHERS);
    throw new MediaError(
      `${name} has pictures in the codec ${codec}, which this browser does not decode. Save it as ${advice}.`,
    );
  }
  return track;
}

async function canDecode(track: InputVideoTrack): Promise<boolean> {
  const config = await track.getDecoderConfig();
  if (!config || typeof VideoDecoder === "undefined") return false;
  const { supported } = await VideoDecoder.isConfigSupported(config).catch(() => ({ supported: false }));
  return supported === true;
}

/** The times of the frames, in seconds, read without decoding them. */
async function frameTimes(track: InputVideoTrack, name: string, signal: AbortSignal | undefined): Promise<number[]> {
  const { EncodedPacketSink } = await import("mediabunny");
  const times: number[] = [];
  let first = Number.POSITIVE_INFINITY;
  for await (const packet of new EncodedPacketSink(track).packets(undefined, undefined, { metadataOnly: true })) {
    times.push(packet.timestamp);
    first = Math.min(first, packet.timestamp);
    checkLength(times.length, packet.timestamp - first, name);
    throwIfAborted(signal);
  }
  if (times.length === 0) throw new Error("it has no frames");
  return times;
}

async function* decodeFrames(track: InputVideoTrack, times: number[], name: string): AsyncGenerator<RgbImage> {
  const { CustomVideoDecoder, registerDecoder, VideoSample, VideoSampleSink } = await import("mediabunny");
  useColourDecoder({ CustomVideoDecoder, registerDecoder, VideoSample });
  const codec = (await track.getCodec()) ?? "";
  const isOnColumns = ["avc", "hevc"].includes(codec);
  const bits = bitsOf((await track.getDecoderConfig())?.codec);
  const said = { named: await track.getColorSpace(), isOnColumns, bits };
  for await (const decoded of samplesAt(new VideoSampleSink(track), times)) {
    try {
      checkSize(decoded.visibleRect.width, decoded.visibleRect.height, name); // which may change within a clip
      yield await readRgb(decoded, said);
    } finally {
      decoded.close();
    }
  }
}

async function* samplesAt(sink: VideoSampleSink, times: number[]): AsyncGenerator<VideoSample> {
  let next = 0;
  for await (const sample of sink.samplesAtTimestamps(times)) {
    if (!sample) break;
    next++;
    yield sample;
  }
  if (next === times.length) return;
  // mediabunny finds no frame in a part of a WebM that no key frame is in: Firefox records such parts.
  for await (const sample of sink.samples()) {
    while (next < times.length && Math.abs(sample.timestamp - (times[next] as number)) < SAME_TIME) {
      next++;
      yield sample.clone();
    }
    sample.close();
    if (next === times.length) return;
  }
  throw new Error("not every frame could be decoded");
}

function damaged(name: string, reason: string): MediaError {
  return new MediaError(
    `${name} cannot be read as a clip (${reason.replace(/\.$/, "")}): it is damaged, incomplete or no clip, whatever ` +
      "its name says. Save or download it again.",
  );
}
