/** Reads the header of an image before anything is decoded. */

import { has } from "./bytes.ts";
import { gifSize } from "./gif.ts";
import type { Size } from "./rules.ts";

/** An image's size and format. */
export interface ImageHeader extends Size {
  /** The MIME type by the content, whatever the file's name is. */
  type: string;
}

type Reader = (bytes: Uint8Array, view: DataView) => Size | undefined;

const FORMATS: { type: string; offset: number; magic: string; size: Reader }[] = [
  { type: "image/jpeg", offset: 0, magic: "\xff\xd8\xff", size: jpegSize },
  { type: "image/png", offset: 0, magic: "\x89PNG\r\n\x1a\n", size: (_, view) => sizeAt(view, 16, 20, false) },
  { type: "image/webp", offset: 8, magic: "WEBP", size: webpSize },
  { type: "image/gif", offset: 0, magic: "GIF8", size: gifSize },
  { type: "image/bmp", offset: 0, magic: "BM", size: bmpSize },
  { type: "image/avif", offset: 4, magic: "ftyp", size: avifSize },
];

/** The names of the formats, for messages. */
export const FORMAT_NAMES = FORMATS.map(({ type }) => type.slice("image/".length).toUpperCase()).join(", ");

/** Return the header of an image. Undefined where the format is unknown, or the bytes end within the header. */
export function readHeader(bytes: Uint8Array): ImageHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const format = FORMATS.find(({ offset, magic }) => has(bytes, offset, magic));
  try {
    const size = format?.size(bytes, view);
    return format && size && { type: format.type, ...size };
  } catch (error) {
    if (error instanceof RangeError) return undefined; // DataView throws it for reads past the end
    throw error;
  }
}

/** Return the MIME type by the first bytes of an image, or undefined for other files. */
export function imageType(bytes: Uint8Array): string | undefined {
  const type = FORMATS.find(({ offset, magic }) => has(bytes, offset, magic))?.type;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return type === "image/avif" && !isAvif(bytes, view) ? undefined : type;
}

/** Return the position of the four characters in `bytes`, from `start`, or -1. */
export function find(bytes: Uint8Array, fourcc: string, start: number, end: number): number {
  for (let at = start; at < Math.min(end, bytes.length); at++) if (has(bytes, at, fourcc)) return at;
  return -1;
}

/** Read a size of two 32-bit numbers. */
function sizeAt(view: DataView, width: number, height: number, littleEndian: boolean): Size {
  return { width: view.getUint32(width, littleEndian), height: view.getUint32(height, littleEndian) };
}

/** Read a size of two 16-bit little-endian numbers. */
function words(view: DataView, width: number, height: number): Size {
  return { width: view.getUint16(width, true), height: view.getUint16(height, true) };
}

/** Find the frame header among the segments: SOF0 to SOF15 except DHT, JPG and DAC, which share the range. */
function jpegSize(_: Uint8Array, view: DataView): Size {
  let at = 2;
  for (;;) {
    while (view.getUint8(at + 1) === 0xff) at++; // fill bytes
    const marker = view.getUint8(at + 1);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    }
    at += 2 + view.getUint16(at + 2);
  }
}

function webpSize(bytes: Uint8Array, view: DataView): Size | undefined {
  if (has(bytes, 12, "VP8X")) {
    const minusOne = (at: number) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    return { width: minusOne(24) + 1, height: minusOne(27) + 1 };
  }
  if (has(bytes, 12, "VP8L")) {
    const packed = view.getUint32(21, true);
    return { width: (packed & 0x3fff) + 1, height: ((packed >> 14) & 0x3fff) + 1 };
  }
  if (!has(bytes, 12, "VP8 ")) return undefined;
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
}

/** The height is negative where rows go from top to bottom. The oldest kind of header has 16-bit numbers. */
function bmpSize(_: Uint8Array, view: DataView): Size {
  if (view.getUint32(14, true) === 12) return words(view, 18, 20);
  return { width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true)) };
}

/** Return the largest of the extents: a thumbnail and the tiles of a grid have their own. */
function avifSize(bytes: Uint8Array, view: DataView): Size | undefined {
  if (!isAvif(bytes, view)) return undefined;
  const end = 1 << 16; // the part that can hold the boxes of properties
  let largest: Size | undefined;
  for (let at = find(bytes, "ispe", 0, end); at >= 0; at = find(bytes, "ispe", at + 4, end)) {
    const size = sizeAt(view, at + 8, at + 12, false);
    if (!largest || size.width * size.height > largest.width * largest.height) largest = size;
  }
  return largest;
}

/**
 * Whether a file is AVIF by its brands: the first is the file's own or one of images in general, and one of them is
 * AVIF's.
 */
function isAvif(bytes: Uint8Array, view: DataView): boolean {
  const brands: string[] = [];
  for (let at = 8; at < Math.min(view.getUint32(0), bytes.length); at += 4) {
    brands.push(String.fromCharCode(...bytes.subarray(at, at + 4)));
  }
  const isNamed = (brand: string) => brand === "avif" || brand === "avis";
  const [first = ""] = brands;
  return (isNamed(first) || first === "mif1" || first === "msf1") && brands.some(isNamed);
}
