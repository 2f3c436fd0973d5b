/**
 * Corrects AVIFs with subsampled chroma. libavif, and so Pillow and Chromium, interpolates the chroma of a pixel
 * between its neighbours; Firefox repeats the nearest. The planes are recovered from Firefox's RGB and converted again.
 */

import { convert, type Factors, recoverImage, type Shape } from "../video/recover.ts";
import type { Samples } from "../video/yuv.ts";
import { find } from "./header.ts";
import type { RgbImage } from "./resample.ts";

/** The bytes in which the image's properties are searched. */
const END = 1 << 16;

/**
 * Return the image as libavif converts it, or `image` itself where there is nothing to correct or the RGB was made in
 * another way.
 */
export function withSmoothColour(image: RgbImage, bytes: Uint8Array): RgbImage {
  const shape = chromaShape(bytes);
  if (!shape) return image;
  const found = recoverImage(image, shape);
  if (!found) return image;
  const { planes, factors } = found;
  const { width, height } = image;
  const [blue, red] = [planes.blue, planes.red].map((plane) => enlarged(plane, width, height, shape)) as [
    Uint8Array,
    Uint8Array,
  ];
  return { width, height, data: converted(planes.luma.values, blue, red, factors) };
}

/**
 * Return the columns and rows of pixels that share one chroma sample. Undefined where there is no subsampling, or
 * samples have more than 8 bits.
 */
function chromaShape(bytes: Uint8Array): Shape | undefined {
  for (let at = find(bytes, "av1C", 0, END); at >= 0; at = find(bytes, "av1C", at + 4, END)) {
    const flags = bytes[at + 6] as number;
    const [isDeep, isGrey, halfColumns, halfRows] = [flags & 0x40, flags & 0x10, flags & 0x08, flags & 0x04];
    if (isGrey) continue; // the item of an alpha channel
    return isDeep || !halfColumns ? undefined : [2, halfRows ? 2 : 1];
  }
  return undefined;
}

/**
 * Return the plane, enlarged: each value is three quarters of the nearest and one quarter of the next, in whole
 * numbers, in both directions at once.
 */
function enlarged({ values, stride }: Samples, width: number, height: number, [, rows]: Shape): Uint8Array {
  const data = new Uint8Array(width * height);
  const last = { column: Math.ceil(width / 2) - 1, row: Math.ceil(height / rows) - 1 };
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / rows);
    const other = rows === 1 ? row : clamp(row + (y % 2 ? 1 : -1), last.row);
    for (let x = 0; x < width; x++) {
      const column = x >> 1;
      // libyuv copies the last column of an odd number.
      const isLast = x === width - 1 && x % 2 === 0;
      const next = isLast ? column : clamp(column + (x % 2 ? 1 : -1), last.column);
      const [near, beside] = [values[row * stride + column] as number, values[row * stride + next] as number];
      const [above, corner] = [values[other * stride + column] as number, values[other * stride + next] as number];
      data[y * width + x] =
        rows === 1 ? (3 * near + beside + 2) >> 2 : (9 * near + 3 * beside + 3 * above + corner + 8) >> 4;
    }
  }
  return data;
}

function clamp(index: number, last: number): number {
  return Math.min(Math.max(index, 0), last);
}

function converted(luma: ArrayLike<number>, blue: Uint8Array, red: Uint8Array, factors: Factors): Uint8Array {
  const data = new Uint8Array(luma.length * 3);
  for (let pixel = 0; pixel < luma.length; pixel++) {
    const rgb = convert(factors, luma[pixel] as number, (blue[pixel] as number) - 128, (red[pixel] as number) - 128);
    data.set(rgb, pixel * 3);
  }
  return data;
}
