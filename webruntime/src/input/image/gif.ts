/**
 * Decodes the first frame of a GIF as Pillow and transformers do: on its whole canvas, the transparent colour on white.
 * Browsers lose the colours of transparent pixels and the area around a small first frame.
 */

import { type Colour, whiten } from "./png.ts";
import type { RgbImage } from "./resample.ts";
import type { Size } from "./rules.ts";

interface Frame extends Size {
  left: number;
  top: number;
  interlaced: boolean;
  /** RGB of each entry. Undefined where each number is a shade of grey. */
  palette: Uint8Array | undefined;
  /** The transparent entry. */
  transparent: number | undefined;
  /** The position of the number of bits of a code. The codes follow. */
  start: number;
  canvas: Size;
}

/** The first row and the row step of each pass of an interlaced frame. */
const PASSES = [
  [0, 8],
  [4, 8],
  [2, 4],
  [1, 2],
] as const;

const LONGEST_CODE = 12;
const MAX_CODES = 1 << LONGEST_CODE;

/**
 * Return the size of the canvas, extended to the first frame where the frame is larger. Throws a RangeError where the
 * file ends.
 */
export function gifSize(bytes: Uint8Array): Size {
  return firstFrame(bytes).canvas;
}

/** Decode the first frame. Throws an Error where the file is damaged. */
export function decodeGif(bytes: Uint8Array): RgbImage {
  const frame = firstFrame(bytes);
  const { canvas, transparent } = frame;
  const entries = new Uint8Array(canvas.width * canvas.height).fill(transparent ?? 0);
  let read = 0;
  const rows = rowOrder(frame);
  const inner = decompress(bytes, frame.start, frame.width * frame.height);
  for (const row of rows) {
    entries.set(inner.subarray(read, read + frame.width), (frame.top + row) * canvas.width + frame.left);
    read += frame.width;
  }
  const colours = Array.from({ length: 256 }, (_, entry) => colourOf(frame, entry));
  const image = { ...canvas, data: new Uint8Array(entries.length * 3) };
  entries.forEach((entry, pixel) => {
    image.data.set(colours[entry] as Colour, pixel * 3);
  });
  if (transparent !== undefined) whiten(image, colourOf(frame, transparent));
  return image;
}

function firstFrame(bytes: Uint8Array): Frame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shared = readPalette(bytes, 10, 13);
  let transparent: number | undefined;
  for (let at = shared.end; ; ) {
    const kind = view.getUint8(at);
    if (kind === 0x2c) return frameAt(bytes, at, shared.palette, transparent);
    if (kind === 0x3b) throw new RangeError("it has no frame");
    if (kind !== 0x21) {
      at++;
      continue;
    }
    if (view.getUint8(at + 1) === 0xf9 && view.getUint8(at + 3) & 1) transparent = view.getUint8(at + 6);
    at = afterBlocks(view, at + 2);
  }
}

function frameAt(bytes: Uint8Array, at: number, shared: Frame["palette"], transparent: Frame["transparent"]): Frame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (offset: number) => view.getUint16(offset, true);
  const [left, top, width, height] = [word(at + 1), word(at + 3), word(at + 5), word(at + 7)];
  const flags = view.getUint8(at + 9);
  const own = readPalette(bytes, at + 9, at + 10);
  return {
    ...{ left, top, width, height, transparent, start: own.end },
    interlaced: (flags & 0x40) !== 0,
    palette: flags & 0x80 ? own.palette : shared,
    canvas: { width: Math.max(word(6), left + width), height: Math.max(word(8), top + height) },
  };
}

/**
 * Return the palette at `start`, if the flags state that there is one. Undefined where the palette is the ramp of all
 * shades of grey.
 */
function readPalette(bytes: Uint8Array, flagsAt: number, start: number): { palette: Frame["palette"]; end: number } {
  const flags = bytes[flagsAt] as number;
  if (!(flags & 0x80)) return { palette: undefined, end: start };
  const palette = bytes.subarray(start, start + (6 << (flags & 7)));
  const isRamp = palette.every((value, index) => value === Math.floor(index / 3));
  return { palette: isRamp ? undefined : palette, end: start + palette.length };
}

function afterBlocks(view: DataView, start: number): number {
  let at = start;
  while (view.getUint8(at) > 0) at += view.getUint8(at) + 1;
  return at + 1;
}

/** Entries beyond the palette are black. */
function colourOf({ palette }: Frame, entry: number): Colour {
  if (!palette) return [entry, entry, entry];
  const [red = 0, green = 0, blue = 0] = palette.subarray(entry * 3, entry * 3 + 3);
  return [red, green, blue];
}

function rowOrder({ height, interlaced }: Frame): number[] {
  const order: number[] = [];
  for (const [first, step] of interlaced ? PASSES : [[0, 1] as const]) {
    for (let row = first; row < height; row += step) order.push(row);
  }
  return order;
}

/**
 * Return `length` values by LZW, and the rest of the last code. Throws an Error where there are fewer, or a code is
 * invalid.
 */
function decompress(bytes: Uint8Array, start: number, length: number): Uint8Array {
  const values = new Uint8Array(length + MAX_CODES);
  const clear = 1 << (bytes[start] as number);
  // A code is the code `before` and one more value; its string has `lengths` values.
  const before = new Uint16Array(MAX_CODES);
  const last = new Uint8Array(MAX_CODES);
  const lengths = new Uint16Array(MAX_CODES).fill(1, 0, clear);
  for (let value = 0; value < clear; value++) last[value] = value;
  let [filled, next, previous] = [0, clear + 2, -1];
  const codes = codeReader(bytes, start);
  while (filled < length) {
    const code = codes(next);
    if (code === clear) {
      [next, previous] = [clear + 2, -1];
      continue;
    }
    const isNew = code === next && previous >= 0;
    if (code === clear + 1 || (previous < 0 ? code > clear : code >= next && !isNew))
      throw new Error("an invalid code");
    const known = isNew ? previous : code;
    const end = filled + (lengths[known] as number);
    let part = known;
    for (let at = end - 1; at >= filled; at--) {
      values[at] = last[part] as number;
      part = before[part] as number;
    }
    const first = values[filled] as number;
    if (isNew) values[end] = first;
    filled = end + Number(isNew);
    if (previous >= 0 && next < MAX_CODES) {
      before[next] = previous;
      last[next] = first;
      lengths[next] = (lengths[previous] as number) + 1;
      next++;
    }
    previous = code;
  }
  return values;
}

/** Return a function that reads the next code. The bits of a code grow with the number of known codes. */
function codeReader(bytes: Uint8Array, start: number): (known: number) => number {
  const shortest = (bytes[start] as number) + 1;
  if (!(shortest <= LONGEST_CODE)) throw new Error("codes too long");
  let [at, blockEnd, bits, held] = [start + 1, start + 1, 0, 0];
  return (known) => {
    const length = Math.min(Math.max(shortest, 32 - Math.clz32(known)), LONGEST_CODE);
    while (held < length) {
      if (at === blockEnd) {
        blockEnd = at + 1 + (bytes[at] || Number.NaN);
        at++;
      }
      if (!(blockEnd <= bytes.length)) throw new Error("incomplete");
      bits |= (bytes[at++] as number) << held;
      held += 8;
    }
    const code = bits & ((1 << length) - 1);
    bits >>= length;
    held -= length;
    return code;
  };
}
