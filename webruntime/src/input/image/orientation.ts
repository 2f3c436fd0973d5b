/** The EXIF orientation, where a browser's decoder does not see to it. */

import { has } from "./header.ts";
import type { RgbImage } from "./resample.ts";

const ORIENTATION_TAG = 0x0112;

/**
 * The orientation (1 to 8) of a WebP file, which some browsers heed and some do not: where it is not 1, the chunk that
 * says so is renamed in `bytes`, so that none does.
 */
export function hideWebpOrientation(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length; at += 8 + evenAbove(view.getUint32(at + 4, true))) {
    if (!has(bytes, at, "EXIF")) continue;
    const orientation = tiffOrientation(bytes.subarray(at + 8, at + 8 + view.getUint32(at + 4, true)));
    if (orientation !== 1) bytes.set([0x6e, 0x6f, 0x6e, 0x65], at); // "none"
    return orientation;
  }
  return 1;
}

/** The picture upright: orientations from 5 on exchange rows and columns. */
export function turn(image: RgbImage, orientation: number): RgbImage {
  if (orientation === 1) return image;
  const { width, height } = image;
  const [right, bottom] = [width - 1, height - 1];
  const swapped = orientation >= 5;
  const turned = { width: swapped ? height : width, height: swapped ? width : height, data: image.data.slice() };
  const mirrorX = [2, 3, 7, 8].includes(orientation);
  const mirrorY = [3, 4, 6, 7].includes(orientation);
  let to = 0;
  for (let row = 0; row < turned.height; row++) {
    for (let column = 0; column < turned.width; column++) {
      const [x, y] = swapped ? [row, column] : [column, row];
      const from = ((mirrorY ? bottom - y : y) * width + (mirrorX ? right - x : x)) * 3;
      for (let channel = 0; channel < 3; channel++) turned.data[to++] = image.data[from + channel] as number;
    }
  }
  return turned;
}

/** The orientation (1 to 8) in a block of EXIF: 1 where it is damaged, as where it says nothing. */
export function tiffOrientation(exif: Uint8Array): number {
  const start = has(exif, 0, "Exif\0\0") ? 6 : 0;
  const view = new DataView(exif.buffer, exif.byteOffset + start, exif.byteLength - start);
  try {
    const littleEndian = view.getUint16(0) === 0x4949;
    const directory = view.getUint32(4, littleEndian);
    for (let entry = 0; entry < view.getUint16(directory, littleEndian); entry++) {
      const at = directory + 2 + 12 * entry;
      if (view.getUint16(at, littleEndian) !== ORIENTATION_TAG) continue;
      const orientation = view.getUint16(at + 8, littleEndian);
      return orientation >= 1 && orientation <= 8 ? orientation : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

function evenAbove(length: number): number {
  return length + (length & 1);
}
