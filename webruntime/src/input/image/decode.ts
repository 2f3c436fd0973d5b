/** Decodes image files to upright RGB with the browser's decoders, in a worker. */

import { MediaError } from "../../errors.ts";
import { checkBytes, MAX_IMAGE_BYTES, MAX_PIXELS } from "../limits.ts";
import { withSmoothColour } from "./avif.ts";
import { decodeDeepPng, isDeepPng } from "./deep-png.ts";
import { decodeGif } from "./gif.ts";
import { FORMAT_NAMES, readHeader } from "./header.ts";
import { highColourBits, widenHighColour } from "./high-colour.ts";
import { withoutMetadata } from "./metadata.ts";
import { turn } from "./orientation.ts";
import { readPixels } from "./pixels.ts";
import { transparentColour, whiten } from "./png.ts";
import type { RgbImage } from "./resample.ts";
import { unreadFormat } from "./unread.ts";
import { isWhole } from "./whole.ts";

/**
 * Decode a file to an upright image, as transformers reads it: a single transparent colour is put on white, other
 * transparency is dropped, and colour profiles are ignored. Equals gemtab/media/images.py to the bit, except for JPEGs
 * of CMYK, whose colours are at most 1/255 lower here. Throws MediaError for an unreadable file, and, before decoding,
 * for more than MAX_PIXELS.
 */
export async function decodeImage(blob: Blob): Promise<RgbImage> {
  const name = blobName(blob, "The image");
  checkBytes(blob, name, MAX_IMAGE_BYTES);
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const header = readHeader(bytes);
  const unread = header ? undefined : unreadFormat(bytes);
  if (unread)
    throw new MediaError(`${name} is a file of ${unread}, but only ${FORMAT_NAMES} are supported. Save it as PNG.`);
  if (!header) {
    throw new MediaError(
      `${name} cannot be read as an image: whatever its name says, it is none of ${FORMAT_NAMES}, or only the ` +
        "damaged beginning of one.",
    );
  }
  checkSize(header.width, header.height, name);
  try {
    return await decode(bytes, header.type, name);
  } catch (error) {
    if (error instanceof MediaError) throw error;
    const kind = header.type.slice("image/".length).toUpperCase();
    throw new MediaError(
      `${name} is damaged or incomplete, or a kind of ${kind} that this browser does not read. Save or download it ` +
        "again, or as PNG.",
    );
  }
}

/**
 * Check the size of an image. Throws MediaError for more than MAX_PIXELS, before anything of that size is allocated.
 */
export function checkSize(width: number, height: number, name: string): void {
  if (width * height <= MAX_PIXELS) return;
  const most = MAX_PIXELS.toLocaleString("en");
  throw new MediaError(`${name} has too many pixels: ${width} × ${height}; the limit is ${most}. Make it smaller.`);
}

/** Return the name of a file for messages, or `otherwise` where it has none. */
export function blobName(blob: Blob, otherwise: string): string {
  return blob instanceof File ? blob.name : otherwise;
}

async function decode(bytes: Uint8Array<ArrayBuffer>, type: string, name: string): Promise<RgbImage> {
  if (type === "image/gif") return decodeGif(bytes);
  if (!(await isWhole(bytes, type))) throw new Error("incomplete");
  const { content, orientation } = await withoutMetadata(bytes, type);
  const image = isDeepPng(bytes)
    ? await decodeDeepPng(bytes)
    : await decodeByBrowser(new Blob(content, { type }), name);
  const transparent = type === "image/png" ? transparentColour(bytes) : undefined;
  if (transparent) whiten(image, transparent);
  const bits = type === "image/bmp" ? highColourBits(bytes) : undefined;
  if (bits) widenHighColour(image, bits);
  return turn(type === "image/avif" ? withSmoothColour(image, bytes) : image, orientation);
}

async function decodeByBrowser(blob: Blob, name: string): Promise<RgbImage> {
  const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  try {
    checkSize(bitmap.width, bitmap.height, name); // a header may have no size
    return await readPixels(bitmap);
  } finally {
    bitmap.close();
  }
}
