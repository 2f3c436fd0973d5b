/**
 * Resizes by antialiased bicubic as Pillow 13 does, to the bit: weights in fixed point, along rows and along columns,
 * each result rounded to 8 bits. A canvas' own scaler is unspecified.
 */

/** The fraction bits of a weight: a value takes 8 of 32 bits, and 2 are headroom. */
const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/** The radius of the filter in pixels of the smaller image. */
const SUPPORT = 2;

/** An image of 8 bits a channel. */
export interface RgbImage {
  width: number;
  height: number;
  /** RGB, by rows: width * height * 3 bytes. */
  data: Uint8Array;
}

/** For each pixel of the result along one direction: the first source pixel, and the weights from that pixel on. */
interface Taps {
  first: Int32Array;
  count: Int32Array;
  weights: Int32Array;
  /** The number of stored weights for each pixel, used or not. */
  stride: number;
}

/**
 * Resize along columns first where that removes more than twice as many rows as columns; otherwise along rows first.
 */
export function resize(image: RgbImage, width: number, height: number): RgbImage {
  const fewerRows = image.height - height;
  if (fewerRows > 0 && fewerRows > 2 * (image.width - width)) return alongRows(alongColumns(image, height), width);
  return alongColumns(alongRows(image, width), height);
}

function alongRows(image: RgbImage, width: number): RgbImage {
  if (image.width === width) return image;
  const { first, count, weights, stride } = taps(image.width, width);
  const data = new Uint8Array(width * image.height * 3);
  let to = 0;
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < width; x++) {
      let from = (y * image.width + (first[x] as number)) * 3;
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      const end = x * stride + (count[x] as number);
      for (let tap = x * stride; tap < end; tap++) {
        const weight = weights[tap] as number;
        red += (image.data[from++] as number) * weight;
        green += (image.data[from++] as number) * weight;
        blue += (image.data[from++] as number) * weight;
      }
      data[to++] = clip(red);
      data[to++] = clip(green);
      data[to++] = clip(blue);
    }
  }
  return { width, height: image.height, data };
}

function alongColumns(image: RgbImage, height: number): RgbImage {
  if (image.height === height) return image;
  const { first, count, weights, stride } = taps(image.height, height);
  const row = image.width * 3;
  const data = new Uint8Array(row * height);
  const sums = new Int32Array(row);
  for (let y = 0; y < height; y++) {
    sums.fill(HALF);
    for (let tap = 0; tap < (count[y] as number); tap++) {
      const weight = weights[y * stride + tap] as number;
      const from = ((first[y] as number) + tap) * row;
      for (let i = 0; i < row; i++) sums[i] = (sums[i] as number) + (image.data[from + i] as number) * weight;
    }
    for (let i = 0; i < row; i++) data[y * row + i] = clip(sums[i] as number);
  }
  return { width: image.width, height, data };
}

function clip(sum: number): number {
  return Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
}

/** Return the taps. When the image becomes smaller, the filter is widened so that it covers all source pixels. */
function taps(from: number, to: number): Taps {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const reach = SUPPORT * stretch;
  const stride = Math.ceil(reach) * 2 + 1;
  const result = { first: new Int32Array(to), count: new Int32Array(to), weights: new Int32Array(to * stride), stride };
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    const exact = Array.from({ length: end - first }, (_, tap) =>
      bicubic((tap + first - centre + 0.5) * (1 / stretch)),
    );
    const total = exact.reduce((sum, weight) => sum + weight, 0);
    result.first[i] = first;
    result.count[i] = end - first;
    result.weights.set(
      exact.map((weight) => fixed(weight / total)),
      i * stride,
    );
  }
  return result;
}

/** Return a weight in fixed point, rounded half away from zero. */
function fixed(weight: number): number {
  return Math.trunc(weight * (1 << PRECISION_BITS) + (weight < 0 ? -0.5 : 0.5));
}

/** Return Keys' cubic with a = -1/2. */
function bicubic(offset: number): number {
  const x = Math.abs(offset);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0;
}
