/** Reads the chunks of a PNG. */

import { has } from "./bytes.ts";
import type { RgbImage } from "./resample.ts";
import type { Size } from "./rules.ts";

/** A chunk of a PNG. */
export interface Chunk {
  name: string;
  content: Uint8Array<ArrayBuffer>;
  /** The chunk with its length, name and checksum. */
  whole: Uint8Array<ArrayBuffer>;
}

/** A colour, 8 bits a channel. */
export type Colour = readonly [red: number, green: number, blue: number];

/** Colour types. (4 and 6 have alpha.) */
const GREY = 0;
const RGB = 2;
const PALETTE = 3;

/** The channels by colour type: grey, RGB, entries of a palette, grey and alpha, RGBA. */
export const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** The pixels of one pass. */
export interface Pass {
  left: number;
  top: number;
  stepX: number;
  stepY: number;
}

const PLAIN: Pass[] = [{ left: 0, top: 0, stepX: 1, stepY: 1 }];

/** The passes of an interlaced image. */
const ADAM7: Pass[] = [
  { left: 0, top: 0, stepX: 8, stepY: 8 },
  { left: 4, top: 0, stepX: 8, stepY: 8 },
  { left: 0, top: 4, stepX: 4, stepY: 8 },
  { left: 2, top: 0, stepX: 4, stepY: 4 },
  { left: 0, top: 2, stepX: 2, stepY: 4 },
  { left: 1, top: 0, stepX: 2, stepY: 2 },
  { left: 0, top: 1, stepX: 1, stepY: 2 },
];

/** Return the passes that have pixels. */
export function passesOf(bytes: Uint8Array, { width, height }: Size): Pass[] {
  return (bytes[28] === 0 ? PLAIN : ADAM7).filter(({ left, top }) => left < width && top < height);
}

/** Return the bytes of one row of a pass, including the byte that names its filter. */
export function scanlineBytes(width: number, { left, stepX }: Pass, bitsOfPixel: number): number {
  return 1 + Math.ceil((Math.ceil((width - left) / stepX) * bitsOfPixel) / 8);
}

/** Return the number of rows of a pass. */
export function rowsOf({ height }: Size, { top, stepY }: Pass): number {
  return Math.ceil((height - top) / stepY);
}

/** Return the bytes of all rows. */
export function scanlinesLength(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = { width: view.getUint32(16), height: view.getUint32(20) };
  const bits = view.getUint8(24) * (CHANNELS[view.getUint8(25)] ?? 0);
  return passesOf(bytes, size).reduce(
    (sum, pass) => sum + scanlineBytes(size.width, pass, bits) * rowsOf(size, pass),
    0,
  );
}

/** Yield the chunks up to the last. Where the file ends too early, its last chunk is short. */
export function* pngChunks(bytes: Uint8Array<ArrayBuffer>): Generator<Chunk> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 8 <= bytes.length && !has(bytes, at + 4, "IEND"); ) {
    const end = at + 12 + view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    yield { name, content: bytes.subarray(at + 8, end - 4), whole: bytes.subarray(at, end) };
    at = end;
  }
}

/**
 * Return the colour that transformers puts on white: the one that is declared transparent, or a palette's only
 * transparent entry. Undefined where there is none, or where a palette has several levels of transparency, which are
 * dropped.
 *
 * As in Pillow, numbers of 2 and 4 bits, too, are compared with 8 bits of each channel.
 */
export function transparentColour(bytes: Uint8Array<ArrayBuffer>): Colour | undefined {
  const found = new Map([...pngChunks(bytes)].map(({ name, content }) => [name, content]));
  const [transparency, palette] = [found.get("tRNS"), found.get("PLTE")];
  if (!transparency) return undefined;
  const [bits, kind] = [bytes[24], bytes[25]];
  const low = (channel: number) => transparency[2 * channel + 1] ?? 0;
  if (kind === RGB) return [low(0), low(1), low(2)];
  if (kind === GREY && bits !== 16) return grey(bits === 1 ? low(0) * 255 : low(0));
  return kind === PALETTE && palette ? singleEntry(transparency, palette) : undefined;
}

/**
 * Return a palette's chunk with a colour for each number that a pixel can have. Missing entries are black to Pillow,
 * and the last colour to Chromium.
 */
export function wholePalette(bytes: Uint8Array<ArrayBuffer>, chunk: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const [bits = 8, kind] = [bytes[24], bytes[25]];
  const length = 3 << bits;
  if (kind !== PALETTE || chunk.length >= 12 + length || !isIntact(chunk)) return chunk;
  const whole = new Uint8Array(12 + length);
  whole.set(chunk.subarray(0, -4));
  const view = new DataView(whole.buffer);
  view.setUint32(0, length);
  view.setUint32(8 + length, crc32(whole.subarray(4, 8 + length)));
  return whole;
}

/** Whether a chunk has the checksum of its name and content. */
function isIntact(chunk: Uint8Array): boolean {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  return chunk.length >= 12 && view.getUint32(chunk.length - 4) === crc32(chunk.subarray(4, -4));
}

function crc32(bytes: Uint8Array): number {
  let check = 0xffffffff;
  for (const byte of bytes) {
    check ^= byte;
    for (let bit = 0; bit < 8; bit++) check = check & 1 ? (check >>> 1) ^ 0xedb88320 : check >>> 1;
  }
  return ~check >>> 0;
}

/** Return the transparent value of a grey PNG with 16 bits. */
export function deepGreyKey(bytes: Uint8Array<ArrayBuffer>): number | undefined {
  for (const { name, content } of pngChunks(bytes)) {
    if (name === "tRNS" && bytes[25] === GREY) return ((content[0] ?? 0) << 8) | (content[1] ?? 0);
  }
  return undefined;
}

/** Make all pixels of a colour white, in place. */
export function whiten({ data }: RgbImage, [red, green, blue]: Colour): void {
  for (let at = 0; at < data.length; at += 3) {
    if (data[at] === red && data[at + 1] === green && data[at + 2] === blue) data.fill(255, at, at + 3);
  }
}

function grey(value: number): Colour {
  return [value, value, value];
}

function singleEntry(alphas: Uint8Array, palette: Uint8Array): Colour | undefined {
  const clear = alphas.indexOf(0);
  if (clear < 0 || alphas.some((alpha, index) => index !== clear && alpha !== 255)) return undefined;
  const [red = 0, green = 0, blue = 0] = palette.subarray(3 * clear, 3 * clear + 3);
  return [red, green, blue];
}
