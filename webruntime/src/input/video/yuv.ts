/**
 * From a decoder's planes to RGB as FFmpeg does it, to the bit: browsers guess other colours for clips that do not name
 * theirs, and blur between those of neighbours or not.
 */

import type { RgbImage } from "../image/resample.ts";

/** One byte a sample; the chroma planes have half the rows and columns, rounded up. */
export interface Planes {
  width: number;
  height: number;
  luma: Samples;
  blue: Samples;
  red: Samples;
}

export interface Samples {
  bytes: Uint8Array;
  offset: number;
  /** Bytes from a row to the next. */
  stride: number;
  /** Bytes from a sample to the next: 2 where both chroma planes lie in one. */
  step: number;
}

export interface Coding {
  matrix: string;
  fullRange: boolean;
}

/** What chroma adds, in 65536ths and for limited range: red to R, blue to B, blue to G, red to G (both taken off). */
const MATRICES: Record<string, [number, number, number, number]> = {
  bt709: [117489, 138438, 13975, 34925],
  smpte170m: [104597, 132201, 25675, 53279],
  bt470bg: [104597, 132201, 25675, 53279],
  "bt2020-ncl": [110013, 140363, 12277, 42626],
};

/** What FFmpeg takes where a clip does not say. */
export const USUAL_MATRIX = "smpte170m";

export function isKnown(matrix: string): boolean {
  return matrix in MATRICES;
}

export function toRgb({ width, height, luma, blue, red }: Planes, coding: Coding): RgbImage {
  const { light, redToR, redToG, blueToG, blueToB } = tables(coding);
  const data = new Uint8ClampedArray(width * height * 3);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const lumaRow = luma.offset + y * luma.stride;
    const blueRow = blue.offset + (y >> 1) * blue.stride;
    const redRow = red.offset + (y >> 1) * red.stride;
    for (let x = 0; x < width; x++) {
      const base = light[luma.bytes[lumaRow + x * luma.step] as number] as number;
      const u = blue.bytes[blueRow + (x >> 1) * blue.step] as number;
      const v = red.bytes[redRow + (x >> 1) * red.step] as number;
      data[to++] = base + (redToR[v] as number);
      data[to++] = base + (blueToG[u] as number) + (redToG[v] as number);
      data[to++] = base + (blueToB[u] as number);
    }
  }
  return { width, height, data: new Uint8Array(data.buffer) };
}

/** Each of the 256 values multiplied as swscale's vector code does: 3 and 13 bits of fraction, the product cut off. */
function tables({ matrix, fullRange }: Coding) {
  const factors = MATRICES[matrix];
  if (!factors) throw new RangeError(`unknown matrix ${matrix}`);
  const [redToR, blueToB, blueToG, redToG] = factors.map((factor) =>
    fullRange ? Math.trunc((factor * 224) / 255) : factor,
  ) as typeof factors;
  const chroma = (factor: number) => table(128, rounded(factor));
  return {
    light: fullRange ? table(0, 1 << 13) : table(16, rounded(Math.trunc((65536 * 255) / 219))),
    redToR: chroma(redToR),
    redToG: chroma(-redToG),
    blueToG: chroma(-blueToG),
    blueToB: chroma(blueToB),
  };
}

function rounded(factor: number): number {
  return Math.floor((factor * (1 << 13) + (1 << 15)) / (1 << 16));
}

function table(zero: number, factor: number): Int16Array {
  return Int16Array.from({ length: 256 }, (_, value) => (((value - zero) << 3) * factor) >> 16);
}
