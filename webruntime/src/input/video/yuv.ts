/**
 * Converts a decoder's planes to RGB as FFmpeg does. Browsers guess other colours for videos that name none, and some
 * blur between neighbours. FFmpeg has three methods, by the shape of the planes, and so does this file. The results are
 * equal to the bit, except for 1/255 where half an odd number of columns have chroma.
 */

import type { RgbImage } from "../image/resample.ts";

/** Planes. The chroma planes have as many rows and columns as luma, or half as many, rounded up. */
export interface Planes {
  width: number;
  height: number;
  /** The bits of a sample, 8 to 12. */
  bits: number;
  halfColumns: boolean;
  halfRows: boolean;
  /** Whether half-resolution chroma columns are on luma columns, as in H.264 and HEVC, and not between two. */
  isOnColumns: boolean;
  luma: Samples;
  blue: Samples;
  red: Samples;
}

/** A plane. All numbers count samples, of one byte or two. */
export interface Samples {
  values: Uint8Array | Uint16Array;
  offset: number;
  /** The distance between rows. */
  stride: number;
  /** The distance between samples: 2 where one plane holds both chroma planes. */
  step: number;
}

/** The colours of planes: the matrix, and whether values use the full range. */
export interface Coding {
  matrix: string;
  fullRange: boolean;
}

type Factors = readonly [redToR: number, blueToB: number, blueToG: number, redToG: number];

/** The amount that chroma adds, in 65536ths, for limited range. The last two are subtracted. */
const MATRICES: Record<string, Factors> = {
  bt709: [117489, 138438, 13975, 34925],
  smpte170m: [104597, 132201, 25675, 53279],
  bt470bg: [104597, 132201, 25675, 53279],
  "bt2020-ncl": [110013, 140363, 12277, 42626],
};

/** The matrix that FFmpeg uses for a video that names none. */
export const USUAL_MATRIX = "smpte170m";

const ONE = 1 << 16;

/** Added to a luma before the look-up. */
const HEADROOM = 1024;

/** Whether the conversion supports a matrix. */
export function isKnown(matrix: string): boolean {
  return matrix in MATRICES;
}

/** Convert planes to RGB. Throws RangeError for an unknown matrix. */
export function toRgb(planes: Planes, coding: Coding): RgbImage {
  if (!planes.halfColumns || (planes.width % 2 === 1 && !isQuick(planes))) return finely(planes, coding);
  return isQuick(planes) ? byTables(planes, quickTables(coding)) : byTables(inEightBits(planes), indexTables(coding));
}

/** Whether FFmpeg converts without its scaler. */
function isQuick({ bits, height, halfColumns }: Planes): boolean {
  return bits === 8 && height % 2 === 0 && halfColumns;
}

/** The amount that each of the 256 values adds, and the byte for each sum plus HEADROOM. */
interface Tables {
  light: Int16Array;
  redToR: Int16Array;
  redToG: Int16Array;
  blueToG: Int16Array;
  blueToB: Int16Array;
  finish: Uint8ClampedArray;
}

/** Convert by tables. The two pixels of a pair share chroma; one chroma row serves one row or two. */
function byTables({ width, height, halfRows, luma, blue, red }: Planes, tables: Tables): RgbImage {
  const { light, redToR, redToG, blueToG, blueToB, finish } = tables;
  const data = new Uint8Array(width * height * 3);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const lumaRow = luma.offset + y * luma.stride;
    const chromaRow = halfRows ? y >> 1 : y;
    const blueRow = blue.offset + chromaRow * blue.stride;
    const redRow = red.offset + chromaRow * red.stride;
    for (let x = 0; x < width; x++) {
      const base = (light[luma.values[lumaRow + x * luma.step] as number] as number) + HEADROOM;
      const u = blue.values[blueRow + (x >> 1) * blue.step] as number;
      const v = red.values[redRow + (x >> 1) * red.step] as number;
      data[to++] = finish[base + (redToR[v] as number)] as number;
      data[to++] = finish[base + (blueToG[u] as number) + (redToG[v] as number)] as number;
      data[to++] = finish[base + (blueToB[u] as number)] as number;
    }
  }
  return { width, height, data };
}

/** Return the tables of swscale's vector code: 3 and 13 bits of fraction, the product truncated. */
function quickTables(coding: Coding): Tables {
  const { fullRange } = coding;
  const table = (zero: number, factor: number) => {
    const rounded = coarse(factor) * (1 << 13);
    return Int16Array.from({ length: 256 }, (_, value) => (((value - zero) << 3) * rounded) >> 16);
  };
  const light = fullRange ? table(0, ONE) : table(16, Math.trunc((ONE * 255) / 219));
  const chroma = chromaTables(coding, (factor) => table(128, factor));
  return { light, ...chroma, finish: Uint8ClampedArray.from({ length: 3 * HEADROOM }, (_, sum) => sum - HEADROOM) };
}

/** Return the tables of swscale: chroma shifts the index of luma, and a table gives the byte. */
function indexTables(coding: Coding): Tables {
  const { fullRange } = coding;
  const perLight = fullRange ? ONE : Math.trunc((ONE * 255) / 219);
  const black = fullRange ? 0 : 326 * perLight - 384 * ONE - 16 * ONE;
  const chroma = chromaTables(coding, (factor) => {
    const step = Math.trunc((factor * ONE + (1 << 15)) / perLight);
    return Int16Array.from({ length: 256 }, (_, value) => Math.floor((value * step) / ONE) - (step >> 9));
  });
  const finish = Uint8ClampedArray.from({ length: 3 * HEADROOM }, (_, index) =>
    Math.floor(((index - HEADROOM) * perLight + black + (1 << 15)) / ONE),
  );
  return { light: Int16Array.from({ length: 256 }, (_, value) => value), ...chroma, finish };
}

function chromaTables(coding: Coding, table: (factor: number) => Int16Array): Omit<Tables, "light" | "finish"> {
  const [redToR, blueToB, blueToG, redToG] = factors(coding);
  return { redToR: table(redToR), redToG: table(-redToG), blueToG: table(-blueToG), blueToB: table(blueToB) };
}

function factors({ matrix, fullRange }: Coding): Factors {
  const limited = MATRICES[matrix];
  if (!limited) throw new RangeError(`unknown matrix ${matrix}`);
  const [a, b, c, d] = limited.map((factor) => (fullRange ? Math.trunc((factor * 224) / 255) : factor));
  return [a, b, c, d] as unknown as Factors;
}

/** Return planes of 8 bits with one chroma row for each luma row, interpolated between two chroma rows. */
function inEightBits(planes: Planes): Planes {
  const { width, height, bits, luma, blue, red } = planes;
  const scale = 2 ** (bits - 8);
  const rounded = (samples: Samples, columns: number, row: (y: number) => (x: number) => number): Samples => {
    const values = new Uint8Array(columns * height);
    for (let y = 0; y < height; y++) {
      const at = row(y);
      for (let x = 0; x < columns; x++) values[y * columns + x] = Math.min(Math.floor(at(x) / scale + 0.5), 255);
    }
    return { ...samples, values, offset: 0, stride: columns, step: 1 };
  };
  const columns = width / 2;
  return {
    ...planes,
    bits: 8,
    halfRows: false,
    luma: rounded(luma, width, (y) => rowOf(luma, y)),
    blue: rounded(blue, columns, (y) => betweenPair(planes, chromaRow(planes, blue, y))),
    red: rounded(red, columns, (y) => betweenPair(planes, chromaRow(planes, red, y))),
  };
}

/** Convert by the formula: each pixel has its own chroma, or a value between its neighbours'. */
function finely(planes: Planes, coding: Coding): RgbImage {
  const { width, height, bits, luma, blue, red } = planes;
  const scale = 2 ** (bits - 8);
  const [redToR, blueToB, blueToG, redToG] = factors(coding).map(
    (factor) => coarse(factor) / scale,
  ) as unknown as Factors;
  const [black, perLight] = coding.fullRange ? [0, 1 / scale] : [16 * scale, coarse((ONE * 255) / 219) / scale];
  const data = new Uint8ClampedArray(width * height * 3);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const light = rowOf(luma, y);
    const u = betweenColumns(planes, chromaRow(planes, blue, y));
    const v = betweenColumns(planes, chromaRow(planes, red, y));
    for (let x = 0; x < width; x++) {
      const base = (light(x) - black) * perLight + 0.5;
      const [fromBlue, fromRed] = [u(x) - 128 * scale, v(x) - 128 * scale];
      data[to++] = Math.floor(base + redToR * fromRed);
      data[to++] = Math.floor(base - blueToG * fromBlue - redToG * fromRed);
      data[to++] = Math.floor(base + blueToB * fromBlue);
    }
  }
  return { width, height, data: new Uint8Array(data.buffer) };
}

/** Return a factor in 65536ths, rounded to 13 bits of fraction. */
function coarse(factor: number): number {
  return Math.floor((factor * (1 << 13)) / ONE + 0.5) / (1 << 13);
}

type Row = (x: number) => number;

function rowOf({ values, offset, stride, step }: Samples, y: number): Row {
  const start = offset + y * stride;
  return (x) => values[start + x * step] as number;
}

/** Return the chroma of a luma row, which is between two chroma rows. */
function chromaRow({ height, halfRows }: Planes, samples: Samples, y: number): Row {
  if (!halfRows) return rowOf(samples, y);
  const { first, second, share } = between(y, height);
  const [one, other] = [rowOf(samples, first), rowOf(samples, second)];
  return (x) => one(x) * (1 - share) + other(x) * share;
}

/** Return the chroma of each pair of pixels, shifted from its position to the middle of the pair. */
function betweenPair({ width, isOnColumns }: Planes, row: Row): Row {
  if (!isOnColumns) return row;
  const last = width / 2 - 1;
  return (x) => row(x) * 0.75 + row(Math.min(x + 1, last)) * 0.25;
}

function betweenColumns({ width, halfColumns }: Planes, row: Row): Row {
  if (!halfColumns) return row;
  return (x) => {
    const { first, second, share } = between(x, width);
    return row(first) * (1 - share) + row(second) * share;
  };
}

/**
 * Return the two chroma samples, of half as many, rounded up, that give the one at `index` of `count`, and their
 * shares. Steps have 16 bits, shares 12.
 */
function between(index: number, count: number): { first: number; second: number; share: number } {
  const half = Math.ceil(count / 2);
  const step = Math.floor((half * ONE + (count >> 1)) / count);
  const at = ((index + 0.5) * step) / ONE - 0.5;
  const first = Math.floor(at);
  const share = Math.round((at - first) * 4096) / 4096;
  return { first: Math.max(first, 0), second: Math.min(first + 1, half - 1), share };
}
