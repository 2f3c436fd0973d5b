/**
 * Finds the end of the last frame of a FLAC file: bytes that other programs appended are not audio. Mirrors
 * gemtab/media/flac.py.
 */

import { SHORTEST_FRAME, TAIL_BYTES } from "../facts.gen.ts";
import { readAll } from "./bytes.ts";

/**
 * The bytes to append to the last frame. mediabunny reads a frame only if 16 bytes are left, and the shortest frame has
 * 10. Decoders do not take fewer than 10 extra bytes for another frame.
 */
const PADDING = 6;

/** The offset and the length of the stream's properties, which are the first block. */
const [PROPERTIES, PROPERTIES_LENGTH] = [8, 34];

/** Return the FLAC file of `blob` in a form that mediabunny reads to its end. */
export async function cleanFlac(blob: Blob): Promise<Blob> {
  const end = await flacEnd(blob);
  const frames = await startOfFrames(blob);
  const padding = new Uint8Array(PADDING);
  if (frames === undefined) return new Blob([blob.slice(0, end), padding]);
  const head = Uint8Array.of(...FLAC_NAME, LAST_BLOCK, 0, 0, PROPERTIES_LENGTH);
  const properties = blob.slice(PROPERTIES, PROPERTIES + PROPERTIES_LENGTH);
  return new Blob([head, properties, blob.slice(frames, end), padding]);
}

const FLAC_NAME = [0x66, 0x4c, 0x61, 0x43];

/** The flag of the last block before the frames. */
const LAST_BLOCK = 0x80;

/**
 * Return the end of the blocks of tags and images: mediabunny stops at a damaged one. Undefined where these blocks do
 * not lead to a frame.
 */
async function startOfFrames(blob: Blob): Promise<number | undefined> {
  for (let at = FLAC_NAME.length, flags = 0; ; ) {
    const [first, a, b, c] = new Uint8Array(await blob.slice(at, at + 4).arrayBuffer());
    if (c === undefined) return undefined;
    if (flags & LAST_BLOCK) return first === 0xff ? at : undefined;
    const length = ((a as number) << 16) | ((b as number) << 8) | c;
    flags = first as number;
    if (at === FLAC_NAME.length && ((flags & 0x7f) !== 0 || length !== PROPERTIES_LENGTH)) return undefined;
    at += 4 + length;
  }
}

/** Return the end of the last complete frame by its checksum, or the end of `blob` where none is found. */
export async function flacEnd(blob: Blob): Promise<number> {
  const start = Math.max(0, blob.size - TAIL_BYTES);
  const tail = await readAll(blob, start);
  let cut: number | undefined;
  for (let at = tail.lastIndexOf(0xff); at >= 0; at = at === 0 ? -1 : tail.lastIndexOf(0xff, at - 1)) {
    if (!isHeader(tail, at)) continue;
    const ends = checkedEnds(tail, at);
    const last = ends.at(-1);
    if (cut !== undefined && ends.includes(cut)) return start + cut;
    if (last !== undefined) return start + last;
    cut = at;
  }
  return blob.size;
}

/**
 * Return the positions where the frame may end. The checksum over a frame and its own checksum is 0. Zeros that follow
 * keep it 0. If the checksum of the frame is itself 0, the frame ends with two zeros.
 */
function checkedEnds(tail: Uint8Array, frame: number): number[] {
  const ends: number[] = [];
  let [check, zeros] = [0, 0];
  for (let at = frame; at < tail.length; at++) {
    check = (TABLE_16[(check >> 8) ^ (tail[at] ?? 0)] ?? 0) ^ ((check << 8) & 0xffff);
    zeros = check ? 0 : zeros + 1;
    if (zeros >= 1 && zeros <= 3 && at + 1 - frame >= SHORTEST_FRAME) ends.push(at + 1);
  }
  return ends;
}

/** Whether a frame's header is at `at`, by its fixed bits and its checksum. */
function isHeader(tail: Uint8Array, at: number): boolean {
  const header = tail.subarray(at, at + 16);
  const [, sync = 0, sizes = 0, channels = 0, number = 0] = header;
  if (header.length < 6 || (sync & 0xfe) !== 0xf8 || sizes >> 4 === 0 || (sizes & 15) === 15) return false;
  if (channels >> 4 > 10 || channels & 1) return false;
  // A number in UTF-8's encoding: the count of ones before the first zero is the count of bytes.
  const counted = Math.max(1, Math.clz32(number ^ 0xff) - 24);
  const block = { 6: 1, 7: 2 }[sizes >> 4] ?? 0;
  const rate = { 12: 1, 13: 2, 14: 2 }[sizes & 15] ?? 0;
  const length = 4 + counted + block + rate;
  return length < header.length && crc8(header.subarray(0, length)) === header[length];
}

function crc8(bytes: Uint8Array): number {
  return bytes.reduce((check, byte) => TABLE_8[check ^ byte] ?? 0, 0);
}

/** Return the remainders of all bytes by the polynomial. */
function remainders(polynomial: number, bits: number): number[] {
  return Array.from({ length: 256 }, (_, byte) => {
    let value = byte << (bits - 8);
    for (let i = 0; i < 8; i++) value = ((value << 1) ^ ((value >> (bits - 1)) & 1 ? polynomial : 0)) & (2 ** bits - 1);
    return value;
  });
}

const TABLE_8 = remainders(0x07, 8);
const TABLE_16 = remainders(0x8005, 16);
