/** BMPs with 16 bits a pixel: their 5 or 6 bits a channel become 8 as Pillow does it; browsers round otherwise. */

import type { RgbImage } from "./resample.ts";

/** Bits of red, green and blue; undefined where there are 8 of each. */
export function highColourBits(bytes: Uint8Array): readonly number[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(14, true) === 12 || view.getUint16(28, true) !== 16) return undefined;
  const [compression, red] = [view.getUint32(30, true), view.getUint32(54, true)];
  return compression === 3 && red === 0xf800 ? [5, 6, 5] : [5, 5, 5];
}

export function widenHighColour({ data }: RgbImage, bits: readonly number[]): void {
  data.forEach((value, at) => {
    const few = bits[at % 3] as number;
    data[at] = ((value >> (8 - few)) * 255) / ((1 << few) - 1); // typed arrays round down
  });
}
