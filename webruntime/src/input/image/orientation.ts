/** Reads the orientation of an image from EXIF and XMP, and rotates the image. */

import { has } from "./bytes.ts";
import type { RgbImage } from "./resample.ts";

const ORIENTATION_TAG = 0x0112;

/** The bytes of each type of whole numbers in an EXIF block, signed or not. Pillow does not read a BYTE as a number. */
const WIDTHS: Record<number, 1 | 2 | 4> = { 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 13: 4 };

/** Return the image upright. Orientations from 5 on exchange rows and columns. */
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

/** Return the orientation (1 to 8) in an EXIF block: 1 for an invalid value, undefined where there is none. */
export function tiffOrientation(exif: Uint8Array): number | undefined {
  const start = has(exif, 0, "Exif\0\0") ? 6 : 0;
  const view = new DataView(exif.buffer, exif.byteOffset + start, exif.byteLength - start);
  try {
    const littleEndian = view.getUint16(0) === 0x4949;
    const directory = view.getUint32(4, littleEndian);
    for (let entry = 0; entry < view.getUint16(directory, littleEndian); entry++) {
      const at = directory + 2 + 12 * entry;
      if (view.getUint16(at, littleEndian) === ORIENTATION_TAG) return known(numberAt(view, at, littleEndian));
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return undefined;
}

/** Return the orientation (1 to 8) in an XMP block, or undefined where there is none. */
export function xmpOrientation(xmp: Uint8Array): number | undefined {
  const found = /tiff:Orientation(?:="|>)([0-9])/.exec(new TextDecoder("latin1").decode(xmp));
  return found ? known(Number(found[1])) : undefined;
}

/** Return the value of the entry at `at`, or 0 where it is not one whole number. */
function numberAt(view: DataView, at: number, littleEndian: boolean): number {
  const width = WIDTHS[view.getUint16(at + 2, littleEndian)];
  if (width === undefined || view.getUint32(at + 4, littleEndian) !== 1) return 0;
  if (width === 1) return view.getUint8(at + 8);
  return width === 2 ? view.getUint16(at + 8, littleEndian) : view.getUint32(at + 8, littleEndian);
}

function known(orientation: number): number {
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}
