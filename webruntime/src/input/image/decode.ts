/** Pictures from files to upright RGB, by the browser's decoders, in a worker. */

import { MediaError } from "../../engine/errors.ts";
import { decodeDeepPng, isDeepPng } from "./deep-png.ts";
import { FORMAT_NAMES, readHeader } from "./header.ts";
import { hideWebpOrientation, turn } from "./orientation.ts";
import { readPixels } from "./pixels.ts";
import type { RgbImage } from "./resample.ts";
import { MAX_PIXELS } from "./rules.ts";

/**
 * The picture in a file, its EXIF orientation applied; transparency is dropped and colour profiles are ignored. Throws
 * MediaError for what cannot be read, and for more than MAX_PIXELS before they are decoded.
 */
export async function decodeImage(blob: Blob): Promise<RgbImage> {
  const name = blobName(blob, "The picture");
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (bytes.length === 0) throw new MediaError(`${name} is empty: it has 0 bytes. Choose another file.`);
  const header = readHeader(bytes);
  if (!header) {
    throw new MediaError(
      `${name} cannot be read as a picture: whatever its name says, it holds none of ${FORMAT_NAMES}, or only a ` +
        "damaged beginning of one.",
    );
  }
  checkSize(header.width, header.height, name);
  try {
    return await (isDeepPng(bytes) ? decodeDeepPng(bytes) : decode(bytes, header.type));
  } catch {
    const kind = header.type.slice("image/".length).toUpperCase();
    throw new MediaError(
      `${name} is a ${kind} file that is damaged or incomplete, or this browser does not read ${kind}. Save or ` +
        "download it again, or as another kind.",
    );
  }
}

/** Throws MediaError for more than MAX_PIXELS, before anything of that size is allocated. */
export function checkSize(width: number, height: number, name: string): void {
  if (width * height <= MAX_PIXELS) return;
  const most = MAX_PIXELS.toLocaleString("en");
  throw new MediaError(
    `${name} has too many pixels: ${width} × ${height}, and at most ${most} are read. Make it smaller.`,
  );
}

/** What to call a file in messages: `otherwise` where it has no name. */
export function blobName(blob: Blob, otherwise: string): string {
  return blob instanceof File ? blob.name : otherwise;
}

async function decode(bytes: Uint8Array<ArrayBuffer>, type: string): Promise<RgbImage> {
  const orientation = type === "image/webp" ? hideWebpOrientation(bytes) : 1;
  const bitmap = await createImageBitmap(new Blob([bytes], { type }), {
    premultiplyAlpha: "none",
    colorSpaceConversion: "none",
  });
  try {
    return turn(readPixels(bitmap), orientation);
  } finally {
    bitmap.close();
  }
}
