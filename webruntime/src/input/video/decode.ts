/** Clips: a few frames of them, each a picture with its time, by the browser's decoders, in a worker. */

import type { Input, InputVideoTrack, VideoSample } from "mediabunny";
import { GemtabError, MediaError, throwIfAborted, UsageError } from "../../engine/errors.ts";
import { blobName, checkSize } from "../image/decode.ts";
import { type ImageInputs, imageInputs } from "../image/inputs.ts";
import { turn } from "../image/orientation.ts";
import type { RgbImage } from "../image/resample.ts";
import type { VideoRules } from "../image/rules.ts";
import { isWholeClip } from "./whole.ts";
import { isKnown, type Planes, toRgb, USUAL_MATRIX } from "./yuv.ts";

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

/** Formats with 8 bits and half the chroma, which nearly all clips are decoded to. */
const PLAIN: VideoSample["format"][] = ["I420", "I420A", "NV12"];

/** EXIF orientations that do what the degrees of a clip's rotation, clockwise, say. */
const ORIENTATIONS: Record<number, number> = { 0: 1, 90: 6, 180: 3, 270: 8 };

/**
 * So many frames of a clip, evenly spread over all of them, or all where there are fewer; mirrors gemtab/media/video.py.
 * Throws MediaError for what cannot be read, UsageError for less than one frame, and AbortError when the signal fires.
 */
export async function decodeVideo(blob: Blob, rules: VideoRules, options: VideoOptions = {}): Promise<VideoInputs> {
  const { frames = rules.frames, signal } = options;
  if (frames < 1) throw new UsageError(`At least one frame of a clip must be looked at, not ${frames}.`);
  const name = blobName(blob, "The clip");
  if (blob.size === 0) throw new MediaError(`${name} is empty: it has 0 bytes. Choose another file.`);
  if (!(await isWholeClip(blob))) {
    throw new MediaError(`${name} is incomplete: its end is missing. Save or download it again.`);
  }
  const input = await open(blob);
  try {
    const track = await pictureTrack(input, name);
    const shown = await timeline(track, signal);
    const chosen = sample(shown.length, frames).map((index) => shown[index] as number);
    const seconds = chosen.map((time) => time - (shown[0] as number));
    const inputs: ImageInputs[] = [];
    for await (const frame of decodeFrames(track, chosen, name)) {
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
  if (!(await track.canDecode())) {
    const codec = (await track.getCodec()) ?? (await track.getInternalCodecId()) ?? "unknown";
    throw new MediaError(
      `${name} has pictures in the codec ${codec}, which this browser does not decode. Save it as MP4 with H.264 or ` +
        "AV1, or as WebM with VP9.",
    );
  }
  return track;
}

/** When the frames are shown, in seconds and in order, read without decoding them. */
async function timeline(track: InputVideoTrack, signal: AbortSignal | undefined): Promise<number[]> {
  const { EncodedPacketSink } = await import("mediabunny");
  const times: number[] = [];
  for await (const packet of new EncodedPacketSink(track).packets(undefined, undefined, { metadataOnly: true })) {
    times.push(packet.timestamp);
    throwIfAborted(signal);
  }
  if (times.length === 0) throw new Error("it has no frames");
  return times.sort((one, other) => one - other);
}

async function* decodeFrames(track: InputVideoTrack, times: number[], name: string): AsyncGenerator<RgbImage> {
  const { VideoSampleSink } = await import("mediabunny");
  const named = await track.getColorSpace();
  for await (const decoded of new VideoSampleSink(track).samplesAtTimestamps(times)) {
    if (!decoded) throw new Error("not every frame could be decoded");
    try {
      checkSize(decoded.visibleRect.width, decoded.visibleRect.height, name); // which may change within a clip
      yield await readRgb(decoded, named);
    } finally {
      decoded.close();
    }
  }
}

/** @param named the colours that the file names */
async function readRgb(decoded: VideoSample, named: VideoColorSpaceInit): Promise<RgbImage> {
  const { format, rotation, colorSpace } = decoded;
  // Where nothing names a matrix, browsers say "bt709" whatever it is.
  const coded = colorSpace.matrix === "bt709" ? undefined : colorSpace.matrix;
  const coding = {
    matrix: named.matrix ?? coded ?? USUAL_MATRIX,
    fullRange: named.fullRange ?? colorSpace.fullRange ?? false,
  };
  const plain = PLAIN.includes(format) && isKnown(coding.matrix);
  return turn(plain ? toRgb(await copyPlanes(decoded), coding) : await copyRgb(decoded), ORIENTATIONS[rotation] ?? 1);
}

async function copyPlanes(decoded: VideoSample): Promise<Planes> {
  const { width, height } = decoded.visibleRect;
  const bytes = new Uint8Array(decoded.allocationSize());
  const [luma, blue, red] = (await decoded.copyTo(bytes)).map((layout) => ({ bytes, ...layout, step: 1 }));
  if (!luma || !blue) throw new Error("its frames lack planes");
  if (red) return { width, height, luma, blue, red };
  return { width, height, luma, blue: { ...blue, step: 2 }, red: { ...blue, offset: blue.offset + 1, step: 2 } };
}

/** As the browser makes it of formats with more bits or finer chroma. */
async function copyRgb(decoded: VideoSample): Promise<RgbImage> {
  const { width, height } = decoded.visibleRect;
  const rgba = new Uint8Array(decoded.allocationSize({ format: "RGBA" }));
  await decoded.copyTo(rgba, { format: "RGBA" });
  return { width, height, data: rgba.filter((_, index) => index % 4 !== 3) };
}

function damaged(name: string, reason: string): MediaError {
  return new MediaError(
    `${name} cannot be read as a clip (${reason.replace(/\.$/, "")}): it is damaged, incomplete or no clip, whatever ` +
      "its name says. Save or download it again.",
  );
}
