/**
 * Recovers a frame's planes from the RGB that a browser made of them. Firefox returns only RGB, by a matrix that it
 * guesses. It converts with libyuv in whole numbers: for colours within RGB, exactly one YUV gives each RGB.
 */

import type { RgbImage } from "../image/resample.ts";
import type { Planes } from "./yuv.ts";

/** libyuv's conversion factors in 64ths. The luma factor is in 65536ths of these, for 257 steps. */
export interface Factors {
  blueToB: number;
  blueToG: number;
  redToG: number;
  redToR: number;
  light: number;
  /** Added to all channels. */
  black: number;
}

const LIMITED = { blueToB: 128, light: 18997, black: -1160 };
const FULL = { light: 16320, black: 32 };

/** BT.601, BT.709 and BT.2020 for videos. Firefox assumes limited range for all of them. */
const VIDEOS: readonly Factors[] = [
  { ...LIMITED, blueToG: 25, redToG: 52, redToR: 102 },
  { ...LIMITED, blueToG: 14, redToG: 34, redToR: 115 },
  { ...LIMITED, light: 19003, blueToG: 12, redToG: 42, redToR: 107 },
];

/** The matrices for images, of limited and of full range. */
const IMAGES: readonly Factors[] = [
  { ...FULL, blueToB: 113, blueToG: 22, redToG: 46, redToR: 90 },
  { ...FULL, blueToB: 119, blueToG: 12, redToG: 30, redToR: 101 },
  { ...FULL, blueToB: 120, blueToG: 11, redToG: 37, redToR: 94 },
  ...VIDEOS,
];

/** Columns and rows of pixels that share one chroma sample: 4:2:0, 4:2:2, 4:4:4. */
const SHAPES = [
  [2, 2],
  [2, 1],
  [1, 1],
] as const;

/** Columns and rows of pixels that share one chroma sample. */
export type Shape = readonly [columns: number, rows: number];

/** The number of blocks that are tried to find matrix and shape, and the fraction that must match. */
const PROBES = 1000;
const ENOUGH = 0.9;

/** The maximum fraction of blocks that do not match, among those with a pixel whose channels are not clipped. */
const WRONG = 0.001;

/** How far from the first guess a block's colour is searched, where its channels are clipped at 0 or 255. */
const FAR = 10;

/** Differences of blue and red from a guess, the nearest first. */
const AROUND = Array.from(
  { length: (2 * FAR + 1) ** 2 },
  (_, index) => [(index % (2 * FAR + 1)) - FAR, Math.floor(index / (2 * FAR + 1)) - FAR] as const,
).sort(([a, b], [c, d]) => a * a + b * b - c * c - d * d);

/** The number of those within 1. */
const NEAR = 9;

/** RGB, or RGB and a fourth byte. */
type Rgb = RgbImage;

type Found = Omit<Planes, "isOnColumns">;

/**
 * Recover the planes of a video frame. Samples of more than 8 bits lose their lower bits. Undefined where the RGB was
 * not made in this way.
 *
 * @param bits the bits of a sample of the video
 */
export function recoverPlanes(image: Rgb, bits: number): Found | undefined {
  for (const shape of SHAPES) {
    const planes = recover(image, shape, VIDEOS, bits)?.planes;
    if (planes) return planes;
  }
  return undefined;
}

/**
 * Recover the planes of an image of 8 bits, and the factors that made them RGB. Undefined where the RGB was not made in
 * this way.
 */
export function recoverImage(image: Rgb, shape: Shape): { planes: Found; factors: Factors } | undefined {
  return recover(image, shape, IMAGES, 8);
}

/** Return the RGB of one pixel. `blue` and `red` are 0 where there is no colour. */
export function convert(factors: Factors, luma: number, blue: number, red: number): readonly number[] {
  const base = ((luma * 0x0101 * factors.light) >>> 16) + factors.black;
  return [
    byte((base + factors.redToR * red) >> 6),
    byte((base - factors.blueToG * blue - factors.redToG * red) >> 6),
    byte((base + factors.blueToB * blue) >> 6),
  ];
}

function recover(
  image: Rgb,
  [columns, rows]: Shape,
  matrices: readonly Factors[],
  bits: number,
): { planes: Found; factors: Factors } | undefined {
  const tried = matrices.map((factors) => ({ factors, blocks: new Blocks(image, factors, columns, rows) }));
  const scores = tried.map(({ blocks }) => blocks.probe());
  const best = Math.max(...scores);
  const found = tried[scores.indexOf(best)];
  const planes = best >= ENOUGH ? found?.blocks.planes(bits) : undefined;
  return found && planes && { planes, factors: found.factors };
}

/** The pixels of an image in blocks of one colour. */
class Blocks {
  readonly #image: Rgb;
  readonly #factors: Factors;
  readonly #columns: number;
  readonly #rows: number;
  /** The bytes of a pixel. */
  readonly #step: number;
  /** The amount that each luma adds, in 64ths. */
  readonly #lights: Int32Array;
  /** The positions of the current block's pixels, and their luma. */
  #pixels = new Int32Array(4);
  #count = 0;
  readonly #luma = new Uint8Array(4);

  constructor(image: Rgb, factors: Factors, columns: number, rows: number) {
    this.#image = image;
    this.#factors = factors;
    [this.#columns, this.#rows] = [columns, rows];
    this.#lights = Int32Array.from(
      { length: 256 },
      (_, luma) => ((luma * 0x0101 * factors.light) >>> 16) + factors.black,
    );
    this.#step = image.data.length / (image.width * image.height);
  }

  get #across(): number {
    return Math.ceil(this.#image.width / this.#columns);
  }

  get #down(): number {
    return Math.ceil(this.#image.height / this.#rows);
  }

  /** Return the fraction of some blocks that match at the first guess. */
  probe(): number {
    const total = this.#across * this.#down;
    const step = Math.max(1, Math.floor(total / PROBES));
    let [seen, right] = [0, 0];
    for (let block = 0; block < total; block += step) {
      this.#look(block % this.#across, Math.floor(block / this.#across));
      const guess = this.#guess();
      if (!guess) continue;
      seen++;
      if (this.#search(guess, NEAR).error === 0) right++;
    }
    return seen === 0 ? 1 : right / seen;
  }

  /** Return the planes, or undefined where too many blocks do not match. */
  planes(bits: number): Found | undefined {
    const { width, height } = this.#image;
    const [across, down] = [this.#across, this.#down];
    const luma = new Uint8Array(width * height);
    const [blue, red] = [new Uint8Array(across * down), new Uint8Array(across * down)];
    let wrong = 0;
    for (let y = 0; y < down; y++) {
      for (let x = 0; x < across; x++) {
        this.#look(x, y);
        const guess = this.#guess();
        const found = this.#search(guess ?? this.#roughGuess(), AROUND.length);
        if (guess && found.error > 0) wrong++;
        [blue[y * across + x], red[y * across + x]] = [found.blue + 128, found.red + 128];
        for (let i = 0; i < this.#count; i++) luma[(this.#pixels[i] as number) / this.#step] = this.#luma[i] as number;
      }
    }
    if (wrong > across * down * WRONG) return undefined;
    const plane = (values: Uint8Array, stride: number) => ({ ...widened(values, bits), offset: 0, stride, step: 1 });
    return {
      ...{ width, height, bits, halfColumns: this.#columns === 2, halfRows: this.#rows === 2 },
      ...{ luma: plane(luma, width), blue: plane(blue, across), red: plane(red, across) },
    };
  }

  #look(x: number, y: number): void {
    const { width, height } = this.#image;
    this.#count = 0;
    for (let row = y * this.#rows; row < Math.min((y + 1) * this.#rows, height); row++) {
      for (let column = x * this.#columns; column < Math.min((x + 1) * this.#columns, width); column++) {
        this.#pixels[this.#count++] = (row * width + column) * this.#step;
      }
    }
  }

  /** Return the block's colour by its pixels that are not clipped, or undefined where there are none. */
  #guess(): Colour | undefined {
    return this.#mean((value) => value > 0 && value < 255);
  }

  #roughGuess(): Colour {
    return this.#mean(() => true) as Colour;
  }

  #mean(isTaken: (value: number) => boolean): Colour | undefined {
    const { data } = this.#image;
    const { blueToB, blueToG, redToG, redToR } = this.#factors;
    const [fromRed, fromBlue] = [redToG / redToR, blueToG / blueToB];
    let [blue, red, taken] = [0, 0, 0];
    for (let i = 0; i < this.#count; i++) {
      const at = this.#pixels[i] as number;
      const [r, g, b] = [data[at] as number, data[at + 1] as number, data[at + 2] as number];
      if (!isTaken(r) || !isTaken(g) || !isTaken(b)) continue;
      const light = (g + r * fromRed + b * fromBlue) / (1 + fromRed + fromBlue);
      blue += ((b - light) * 64) / blueToB;
      red += ((r - light) * 64) / redToR;
      taken++;
    }
    return taken === 0 ? undefined : { blue: Math.round(blue / taken), red: Math.round(red / taken) };
  }

  /** Return the colour, of the `most` nearest to `guess`, with the smallest error. Sets the luma of the pixels. */
  #search(guess: Colour, most: number): Colour & { error: number } {
    let best = { ...guess, error: Number.POSITIVE_INFINITY };
    const luma = new Uint8Array(4);
    for (let i = 0; i < most && best.error > 0; i++) {
      const [blueStep, redStep] = AROUND[i] as readonly [number, number];
      const [blue, red] = [guess.blue + blueStep, guess.red + redStep];
      if (blue < -128 || blue > 127 || red < -128 || red > 127) continue;
      const error = this.#error(blue, red, best.error);
      if (error < best.error) {
        best = { blue, red, error };
        luma.set(this.#luma);
      }
    }
    this.#luma.set(luma);
    return best;
  }

  /**
   * Return the difference between the pixels and the RGB of `blue` and `red` with the best luma for each; at most
   * `most`.
   */
  #error(blue: number, red: number, most: number): number {
    const { data } = this.#image;
    const { blueToB, blueToG, redToG, redToR, light, black } = this.#factors;
    const [toR, toG, toB] = [redToR * red, -blueToG * blue - redToG * red, blueToB * blue];
    let total = 0;
    for (let i = 0; i < this.#count && total < most; i++) {
      const at = this.#pixels[i] as number;
      const [r, g, b] = [data[at] as number, data[at + 1] as number, data[at + 2] as number];
      // Use a channel that is not clipped. Green depends most on luma.
      const [value, added] = inside(g) ? [g, toG] : inside(r) ? [r, toR] : inside(b) ? [b, toB] : [g, toG];
      const near = Math.round(((value * 64 + 32 - added - black) * 65536) / (light * 0x0101));
      let least = Number.POSITIVE_INFINITY;
      for (let step = 0; step < 3 && least > 0; step++) {
        const luma = Math.min(Math.max(near + (STEPS[step] as number), 0), 255);
        const base = this.#lights[luma] as number;
        const error =
          Math.abs(byte((base + toR) >> 6) - r) +
          Math.abs(byte((base + toG) >> 6) - g) +
          Math.abs(byte((base + toB) >> 6) - b);
        if (error < least) {
          least = error;
          this.#luma[i] = luma;
        }
      }
      total += least;
    }
    return total;
  }
}

/** Return bytes widened to `bits`. Each value is the middle of those that a decoder truncates to the byte. */
function widened(bytes: Uint8Array, bits: number): { values: Uint8Array | Uint16Array } {
  if (bits === 8) return { values: bytes };
  const [scale, middle] = [1 << (bits - 8), (1 << (bits - 9)) - 1];
  return { values: Uint16Array.from(bytes, (value) => value * scale + middle) };
}

interface Colour {
  blue: number;
  red: number;
}

const STEPS = [0, 1, -1];

function inside(value: number): boolean {
  return value > 0 && value < 255;
}

function byte(value: number): number {
  return Math.min(Math.max(value, 0), 255);
}
