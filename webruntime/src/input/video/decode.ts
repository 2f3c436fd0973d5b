/** Reads frames of videos, each an image with its time, with the browser's decoders, in a worker. */

import type { Input, InputVideoTrack, VideoSample, VideoSampleSink } from "mediabunny";
import { GemtabError, MediaError, throwIfAborted, UsageError } from "../../errors.ts";
import { bitsOf, notDecoded } from "../codecs.ts";
import { blobName, checkSize } from "../image/decode.ts";
import { type ImageInputs, imageInputs } from "../image/inputs.ts";
import type { RgbImage } from "../image/resample.ts";
import type { VideoRules } from "../image/rules.ts";
import { checkBytes, checkLength, MAX_FILE_BYTES } from "../limits.ts";
import { useColourDecoder } from "./colour-decoder.ts";
import { readEdits, type Shown, shownFrames } from "./edits.ts";
import { readRgb } from "./frame.ts";
import { unreadKind } from "./kinds.ts";
import { isWholeVideo } from "./whole.ts";

/** The decoded frames of a video. */
export interface VideoInputs {
  frames: ImageInputs[];
  /** The time of each frame in seconds, counted from the first. */
  seconds: number[];
  /** The times as they are written in prompts: "mm:ss". */
  stamps: string[];
  hasAudio: boolean;
}

/** The options of decoding. */
export interface VideoOptions {
  /** The maximum number of frames. Default: the model's. */
  frames?: number;
  signal?: AbortSignal;
}

/** Formats to save a video as, by codec. */
const OTHERS = { avc: "MP4 with H.264", av1: "MP4 with AV1", vp9: "WebM with VP9" };

/** The maximum difference, in seconds, between two times of one frame. */
const SAME_TIME = 1e-6;

/**
 * Decode frames of a video, evenly spread over all frames that are shown, or all where there are fewer. Frames are
 * selected by number, also where the rate varies; each has its own time. Equals gemtab/media/video.py to the bit,
 * except as yuv.ts states.
 *
 * Throws MediaError for an unreadable file, UsageError for less than one frame, and AbortError when the signal fires.
 */
export async function decodeVideo(blob: Blob, rules: VideoRules, options: VideoOptions = {}): Promise<VideoInputs> {
  const { frames = rules.frames, signal } = options;
  if (frames < 1) throw new UsageError(`A video needs at least one frame, not ${frames}.`);
  const name = blobName(blob, "The video");
  checkBytes(blob, name, MAX_FILE_BYTES);
  const unread = await unreadKind(blob);
  if (unread) {
    throw new MediaError(`${name} is ${unread}, which browsers do not read as a video. Save it as MP4 with H.264.`);
  }
  if (!(await isWholeVideo(blob))) {
    throw new MediaError(`${name} is incomplete: its end is missing. Save or download it again.`);
  }
  const input = await open(blob);
  try {
    const track = await videoTrack(input, name);
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
    const hasAudio = (await input.getPrimaryAudioTrack()) !== null;
    return { frames: inputs, seconds, stamps: seconds.map(stamp), hasAudio };
  } catch (error) {
    if (error instanceof GemtabError) throw error;
    throw damaged(name, error instanceof Error ? error.message : String(error));
  } finally {
    input.dispose();
  }
}

/** Whether a video container holds audio and no video track. Throws for other formats and damaged files. */
export async function hasAudioAlone(blob: Blob): Promise<boolean> {
  const input = await open(blob);
  try {
    const tracks = await input.getTracks();
    return tracks.some((track) => track.isAudioTrack()) && !tracks.some((track) => track.isVideoTrack());
  } finally {
    input.dispose();
  }
}

/** Return the indices of the selected frames: `count` of `total` in equal steps from the first, or all. */
export function sample(total: number, count: number): number[] {
  const chosen = Math.min(count, total);
  return Array.from({ length: chosen }, (_, step) => Math.floor((step * total) / chosen));
}

/** Return the time of a frame as it is written in prompts. */
export function stamp(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(Math.floor(seconds / 60))}:${two(Math.floor(seconds % 60))}`;
}

async function open(blob: Blob): Promise<Input> {
  const { BlobSource, Input, MATROSKA, MP4, QTFF, WEBM } = await import("mediabunny");
  return new Input({ source: new BlobSource(blob), formats: [MP4, QTFF, WEBM, MATROSKA] });
}

async function videoTrack(input: Input, name: string): Promise<InputVideoTrack> {
  if ((await input.getTracks()).length === 0) throw new Error("it is empty");
  const track = await input.getPrimaryVideoTrack();
  if (!track) {
    throw new MediaError(`${name} has no images: there is no video track in it. Attach it as an audio file instead.`);
  }
  checkSize(await track.getCodedWidth(), await track.getCodedHeight(), name);
  if (!(await canDecode(track))) {
    const { codec, advice } = await notDecoded(track, OTHERS);
    throw new MediaError(
      `${name} has images in the codec ${codec}, which this browser does not decode. Save it as ${advice}.`,
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

/** Read the times of the frames, in seconds, without decoding them. */
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
      checkSize(decoded.visibleRect.width, decoded.visibleRect.height, name); // the size may change within a video
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
  // mediabunny finds no frame in a part of a WebM without a key frame. Firefox records such parts.
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
    `${name} cannot be read as a video (${reason.replace(/\.$/, "")}): it is damaged, incomplete or no video, whatever ` +
      "its name says. Save or download it again.",
  );
}
