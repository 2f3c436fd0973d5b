/** Decodes PNGs with 16 bits a channel, which browsers round in different ways. */

import { has } from "./bytes.ts";
import {
  CHANNELS,
  deepGreyKey,
  type Pass,
  passesOf,
  pngChunks,
  rowsOf,
  scanlineBytes,
  scanlinesLength,
} from "./png.ts";
import type { RgbImage } from "./resample.ts";

/** Whether a PNG has 16 bits a channel. */
export function isDeepPng(bytes: Uint8Array): boolean {
  return has(bytes, 12, "IHDR") && bytes[24] === 16;
}

/** Return RGB of the higher 8 bits, as Pillow does. Alpha is dropped. Throws an Error where the file is damaged. */
export async function decodeDeepPng(bytes: Uint8Array<ArrayBuffer>): Promise<RgbImage> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const image = { width: view.getUint32(16), height: view.getUint32(20), data: new Uint8Array() };
  const channels = CHANNELS[view.getUint8(25)];
  if (!channels) throw new Error("unknown colour type");
  const raw = await inflate(compressedPixels(bytes), scanlinesLength(bytes));
  const key = deepGreyKey(bytes);
  image.data = new Uint8Array(image.width * image.height * 3);
  let at = 0;
  for (const pass of passesOf(bytes, image)) {
    const stride = scanlineBytes(image.width, pass, channels * 16);
    const rows = rowsOf(image, pass);
    unfilter(raw.subarray(at, at + stride * rows), stride, channels * 2);
    write(image, pass, raw.subarray(at, at + stride * rows), { stride, channels, key });
    at += stride * rows;
  }
  return image;
}

function compressedPixels(bytes: Uint8Array<ArrayBuffer>): Blob {
  return new Blob([...pngChunks(bytes)].filter(({ name }) => name === "IDAT").map(({ content }) => content));
}

/** Return the first `length` inflated bytes. More may follow. */
async function inflate(compressed: Blob, length: number): Promise<Uint8Array> {
  const raw = new Uint8Array(length);
  const reader = compressed.stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let filled = 0;
  while (filled < length) {
    const { value, done } = await reader.read();
    if (done) throw new Error("incomplete");
    raw.set(value.subarray(0, length - filled), filled);
    filled += value.length;
  }
  await reader.cancel();
  return raw;
}

/**
 * Undo the filters of rows in place: each byte was replaced by its difference from a prediction from its neighbours.
 */
function unfilter(raw: Uint8Array, stride: number, pixel: number): void {
  for (let start = 0; start < raw.length; start += stride) {
    const filter = raw[start] as number;
    for (let i = 1; i < stride; i++) {
      const at = start + i;
      const left = i > pixel ? (raw[at - pixel] as number) : 0;
      const above = start > 0 ? (raw[at - stride] as number) : 0;
      const corner = start > 0 && i > pixel ? (raw[at - stride - pixel] as number) : 0;
      raw[at] = (raw[at] as number) + guess(filter, left, above, corner);
    }
  }
}

function guess(filter: number, left: number, above: number, corner: number): number {
  switch (filter) {
    case 0:
      return 0;
    case 1:
      return left;
    case 2:
      return above;
    case 3:
      return (left + above) >> 1;
    case 4:
      return paeth(left, above, corner);
    default:
      throw new Error("unknown filter");
  }
}

/** Return the one of the three nearest to left + above - corner. */
function paeth(left: number, above: number, corner: number): number {
  const byLeft = Math.abs(above - corner);
  const byAbove = Math.abs(left - corner);
  const byCorner = Math.abs(left + above - 2 * corner);
  if (byLeft <= byAbove && byLeft <= byCorner) return left;
  return byAbove <= byCorner ? above : corner;
}

/** @param lines the rows' length and channels, and the transparent value, if there is one */
function write(
  image: RgbImage,
  pass: Pass,
  raw: Uint8Array,
  { stride, channels, key }: { stride: number; channels: number; key: number | undefined },
): void {
  const colours = channels >= 3 ? [0, 2, 4] : [0, 0, 0];
  let start = 1;
  for (let y = pass.top; y < image.height; y += pass.stepY, start += stride) {
    let from = start;
    for (let x = pass.left; x < image.width; x += pass.stepX, from += channels * 2) {
      const to = (y * image.width + x) * 3;
      const isClear = key !== undefined && (((raw[from] as number) << 8) | (raw[from + 1] as number)) === key;
      colours.forEach((offset, channel) => {
        image.data[to + channel] = isClear ? 255 : (raw[from + offset] as number);
      });
    }
  }
}
