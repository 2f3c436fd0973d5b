/**
 * Converts the 5 or 6 bits a channel of BMPs with 16 bits a pixel to 8 bits as Pillow does. Browsers round in other
 * ways.
 */

import type { RgbImage } from "./resample.ts";

/** Return the bits of red, green and blue, or undefined where each has 8. */
export function highColourBits(bytes: Uint8Array): readonly number[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(14, true) === 12 || view.getUint16(28, true) !== 16) return undefined;
  const [compression, red] = [view.getUint32(30, true), view.getUint32(54, true)];
  return compression === 3 && red === 0xf800 ? [5, 6, 5] : [5, 5, 5];
}

/** Correct the channels of a decoded image in place. */
export function widenHighColour({ data }: RgbImage, bits: readonly number[]): void {
  data.forEach((value, at) => {
    const few = bits[at % 3] as number;
    data[at] = ((value >> (8 - few)) * 255) / ((1 << few) - 1); // typed arrays round down
  });
}
