/**
 * Extracts the frames of MP3 and bare AAC (ADTS) streams, without other bytes before, between and after them. Mirrors
 * gemtab/media/mpeg_audio.py.
 */

import { CERTAIN_FRAMES, FIRST_FRAME_BYTES, NEXT_FRAME_BYTES } from "../facts.gen.ts";
import type { Piece } from "./bytes.ts";

/** Bit rates in kbit/s by MPEG version (2 includes 2.5) and layer. */
const KILOBITS: Record<string, readonly number[]> = {
  "1 1": [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  "1 2": [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  "1 3": [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  "2 1": [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  "2 2": [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
  "2 3": [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};

/** Samples a second by the version's bits. */
const RATES: Record<number, readonly number[]> = {
  3: [44_100, 48_000, 32_000],
  2: [22_050, 24_000, 16_000],
  0: [11_025, 12_000, 8_000],
};

/** The offset of the table of contents in its frame, by the version's bits and whether the audio is mono. */
export const TABLE_OFFSETS: Record<string, number> = {
  "3": 36,
  "3 mono": 21,
  "2": 21,
  "2 mono": 13,
  "0": 21,
  "0 mono": 13,
};

/** The offset of Fraunhofer's table, in all versions. */
const VBRI_OFFSET = 36;

/** Returns the bytes of the frame at a position, or 0 where there is none. */
type FrameLength = (bytes: Uint8Array, at: number) => number;

/** The complete frames of a stream. */
export interface MpegStream {
  kind: "MP3" | "ADTS";
  frames: Piece[];
  /** The number of zeros to append to the last frame, which the end of the file cuts. */
  missing: number;
}

/**
 * Return the frames in `bytes`, or undefined for other formats. Of an MP3's tables of contents, only one in the first
 * frame is kept. The first frame is at the beginning, after zeros, or, where `searched`, up to 4 KiB later.
 */
export function mpegFrames(bytes: Uint8Array, searched: boolean): MpegStream | undefined {
  const start = bytes.findIndex((byte) => byte !== 0);
  for (const [kind, length] of [
    ["MP3", mp3Length],
    ["ADTS", adtsLength],
  ] as const) {
    const first = findFirst(bytes, start, length, searched ? FIRST_FRAME_BYTES : 1);
    if (first === undefined) continue;
    const frames = findFrames(bytes, first, length);
    const audio = frames.filter(([start], index) => index === 0 || !hasTable(bytes, start));
    // Zeros complete the last frame of an MP3 that is cut, as in ffmpeg.
    const at = frames.at(-1)?.[1] ?? bytes.length;
    const end = at + (kind === "MP3" ? mp3Length(bytes, at) : 0);
    if (end <= bytes.length) return { kind, frames: audio, missing: 0 };
    return { kind, frames: [...audio, [at, bytes.length]], missing: end - bytes.length };
  }
  return undefined;
}

/** Whether the frame at `frame` holds a table of contents instead of audio. */
function hasTable(bytes: Uint8Array, frame: number): boolean {
  const mono = (bytes[frame + 3] ?? 0) >> 6 === 3;
  const offset = TABLE_OFFSETS[`${((bytes[frame + 1] ?? 0) >> 3) & 3}${mono ? " mono" : ""}`] ?? 0;
  return ["Xing", "Info"].includes(nameAt(bytes, frame + offset)) || hasFraunhoferTable(bytes, frame);
}

/** Whether that table is Fraunhofer's, which mediabunny decodes as audio. */
export function hasFraunhoferTable(bytes: Uint8Array, frame: number): boolean {
  return nameAt(bytes, frame + VBRI_OFFSET) === "VBRI";
}

function nameAt(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

/**
 * Return the position of the first frame: `start`, or one of the next `searched` bytes if enough other frames follow at
 * once.
 */
function findFirst(bytes: Uint8Array, start: number, length: FrameLength, searched: number): number | undefined {
  for (let at = bytes.indexOf(0xff, start); at >= 0 && at < start + searched; at = bytes.indexOf(0xff, at + 1)) {
    const { end, count } = chain(bytes, at, length);
    if (count === CERTAIN_FRAMES || (at === start && (count > 1 || (count === 1 && end === bytes.length)))) return at;
  }
  return undefined;
}

/**
 * Return the end and the number of the complete frames that follow one another from `at`; at most as many as needed.
 */
function chain(bytes: Uint8Array, at: number, length: FrameLength): { end: number; count: number } {
  let [end, count] = [at, 0];
  for (let size = length(bytes, end); count < CERTAIN_FRAMES && size && end + size <= bytes.length; count++) {
    end += size;
    size = length(bytes, end);
  }
  return { end, count };
}

function findFrames(bytes: Uint8Array, start: number, length: FrameLength): Piece[] {
  const frames: Piece[] = [];
  for (let at: number | undefined = start; at !== undefined; ) {
    const size = length(bytes, at);
    if (size && at + size <= bytes.length) {
      frames.push([at, at + size]);
      at += size;
    } else {
      at = findPair(bytes, at + 1, length);
    }
  }
  return frames;
}

/** Return the first position from `start` with two complete frames in a row: a single one may be there by chance. */
function findPair(bytes: Uint8Array, start: number, length: FrameLength): number | undefined {
  for (
    let at = bytes.indexOf(0xff, start);
    at >= 0 && at < start + NEXT_FRAME_BYTES;
    at = bytes.indexOf(0xff, at + 1)
  ) {
    const size = length(bytes, at);
    const following = size && length(bytes, at + size);
    if (following && at + size + following <= bytes.length) return at;
  }
  return undefined;
}

function mp3Length(bytes: Uint8Array, at: number): number {
  const [first = 0, second = 0, third = 0] = bytes.subarray(at, at + 3);
  if (at + 4 > bytes.length || first !== 0xff || (second & 0xe0) !== 0xe0) return 0;
  const [version, layer] = [(second >> 3) & 3, 4 - ((second >> 1) & 3)];
  const rate = RATES[version]?.[(third >> 2) & 3];
  const kilobits = KILOBITS[`${version === 3 ? 1 : 2} ${layer}`]?.[third >> 4];
  if (!rate || !kilobits) return 0;
  const padding = (third >> 1) & 1;
  if (layer === 1) return (Math.floor((12_000 * kilobits) / rate) + padding) * 4;
  return Math.floor(((layer === 3 && version !== 3 ? 72_000 : 144_000) * kilobits) / rate) + padding;
}

function adtsLength(bytes: Uint8Array, at: number): number {
  const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0, sixth = 0] = bytes.subarray(at, at + 6);
  if (at + 7 > bytes.length || first !== 0xff || (second & 0xf6) !== 0xf0 || ((third >> 2) & 15) > 12) return 0;
  const length = ((fourth & 3) << 11) | (fifth << 3) | (sixth >> 5);
  return length > 7 ? length : 0;
}
