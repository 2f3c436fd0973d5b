/**
 * Separates the orientation in an image file from the file's other bytes, because browsers differ in which metadata
 * they apply. Pillow applies EXIF, and XMP where EXIF has no orientation; so does this file.
 */

import { has } from "./bytes.ts";
import { tiffOrientation, xmpOrientation } from "./orientation.ts";
import { pngChunks, wholePalette } from "./png.ts";

/** A file without metadata, and its orientation. */
export interface Bare {
  /** The file's bytes without its EXIF, and without the animation of a PNG, since Pillow reads the still image. */
  content: Uint8Array<ArrayBuffer>[];
  /** 1 to 8. */
  orientation: number;
}

interface Notes {
  exif: Uint8Array[];
  xmp?: Uint8Array;
}

const XMP_IN_JPEG = "http://ns.adobe.com/xap/1.0/\0";
const XMP_IN_PNG = "XML:com.adobe.xmp";
const EXIF_IN_TEXT = "Raw profile type exif";

/** Chunks of a PNG that are removed before decoding. */
const NOT_DECODED = ["eXIf", "acTL", "fcTL", "fdAT"];

const PNG_END = Uint8Array.of(0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82);

const [EXIF_FLAG, XMP_FLAG] = [8, 4];

/** Return an image file without metadata, and its orientation. */
export async function withoutMetadata(bytes: Uint8Array<ArrayBuffer>, type: string): Promise<Bare> {
  if (type === "image/jpeg") return bareJpeg(bytes);
  if (type === "image/png") return barePng(bytes);
  if (type === "image/webp") return bareWebp(bytes);
  // The padding of the last row may be missing, and browsers require it.
  if (type === "image/bmp") return { content: [bytes, new Uint8Array(3)], orientation: 1 };
  return { content: [type === "image/avif" ? stillAvif(bytes) : bytes], orientation: 1 };
}

function orientationOf({ exif, xmp }: Notes): number {
  const length = exif.reduce((sum, part) => sum + part.length, 0);
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of exif) {
    joined.set(part, at);
    at += part.length;
  }
  return tiffOrientation(joined) ?? (xmp && xmpOrientation(xmp)) ?? 1;
}

/** Long EXIF is split over several segments, each with the same beginning. */
function bareJpeg(bytes: Uint8Array<ArrayBuffer>): Bare {
  const content: Uint8Array<ArrayBuffer>[] = [];
  const notes: Notes = { exif: [] };
  let [start, at] = [0, 2];
  while (bytes[at] === 0xff && bytes[at + 1] !== 0xda && at + 4 <= bytes.length) {
    if (bytes[at + 1] === 0xff) {
      at++;
      continue;
    }
    const end = at + 2 + (((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number));
    if (bytes[at + 1] === 0xe1) {
      if (has(bytes, at + 4, "Exif\0\0")) notes.exif.push(bytes.subarray(at + 10, end));
      if (has(bytes, at + 4, XMP_IN_JPEG)) notes.xmp = bytes.subarray(at + 4, end);
      content.push(bytes.subarray(start, at));
      start = end;
    }
    at = end;
  }
  content.push(bytes.subarray(start));
  return { content, orientation: orientationOf(notes) };
}

async function barePng(bytes: Uint8Array<ArrayBuffer>): Promise<Bare> {
  const content = [bytes.subarray(0, 8)];
  const notes: Notes = { exif: [] };
  let profile: Uint8Array | undefined;
  let [end, isWhole] = [8, true];
  for (const { name, content: inside, whole } of pngChunks(bytes)) {
    if (name === "eXIf") notes.exif = [inside];
    if (name.endsWith("TXt") || name === "tEXt") {
      const text = await readText(name, inside);
      if (text?.key === XMP_IN_PNG) notes.xmp = text.value;
      if (text?.key === EXIF_IN_TEXT) profile = fromHex(text.value);
    }
    if (!NOT_DECODED.includes(name)) content.push(name === "PLTE" ? wholePalette(bytes, whole) : whole);
    end += whole.length;
    isWhole = whole.length === inside.length + 12;
  }
  if (notes.exif.length === 0 && profile) notes.exif = [profile];
  // Pillow reads a file without its last chunk, and browsers do not. Both reject a file in which a chunk is cut off.
  content.push(end === bytes.length && isWhole ? PNG_END : bytes.subarray(end));
  return { content, orientation: orientationOf(notes) };
}

/**
 * Return the relevant texts of tEXt, zTXt (compressed) and iTXt (compressed or not). Undefined for others and damaged
 * ones.
 */
async function readText(name: string, content: Uint8Array<ArrayBuffer>) {
  const key = [XMP_IN_PNG, EXIF_IN_TEXT].find((each) => has(content, 0, `${each}\0`));
  if (key === undefined) return undefined;
  const after = content.subarray(key.length + 1);
  if (name === "tEXt") return { key, value: after };
  if (name === "zTXt") return { key, value: await inflated(after.subarray(1)) };
  const translated = after.indexOf(0, after.indexOf(0, 2) + 1) + 1;
  const value = after.subarray(translated);
  return { key, value: after[0] ? await inflated(value) : value };
}

/** Return the inflated bytes, or no bytes where they are damaged. */
async function inflated(compressed: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer().catch(() => new ArrayBuffer()));
}

/** Return the bytes after three lines: an empty one, the kind, and the length. */
function fromHex(text: Uint8Array): Uint8Array {
  const digits = new TextDecoder("latin1").decode(text).split("\n").slice(3).join("");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** Remove EXIF by changing the chunk's name, in a copy. */
function bareWebp(bytes: Uint8Array<ArrayBuffer>): Bare {
  const notes: Notes = { exif: [] };
  const flags = has(bytes, 12, "VP8X") ? (bytes[20] as number) : 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let content = bytes;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    const inside = bytes.subarray(at + 8, at + 8 + length);
    if (flags & XMP_FLAG && has(bytes, at, "XMP ")) notes.xmp ??= inside;
    if (flags & EXIF_FLAG && has(bytes, at, "EXIF")) {
      if (notes.exif.length === 0) notes.exif = [inside];
      if (content === bytes) content = bytes.slice();
      content.set([0x6e, 0x6f, 0x6e, 0x65], at); // "none"
    }
    at += 8 + length + (length & 1);
  }
  return { content: [content], orientation: orientationOf(notes) };
}

/**
 * Return an animation as the still image of its first frame: Chromium reads the full range of an animation's colours as
 * limited range. The name of the animation's brand is changed, in a copy.
 */
function stillAvif(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const end = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0);
  if (!has(bytes, 8, "avis") || !has(bytes, end + 4, "meta")) return bytes;
  const still = bytes.slice();
  for (let at = 8; at < end; at += 4) if (has(bytes, at, "avis")) still.set([0x61, 0x76, 0x69, 0x66], at); // "avif"
  return still;
}
