/** Converts RGB to a tower's rows. Mirrors gemtab/media/images.py. */

import { type RgbImage, resize } from "./resample.ts";
import { type ImageRules, type Size, softTokenSide, targetSize } from "./rules.ts";

/** The inputs of a model's vision part for one image of N patches, in rows of the image, without padding. */
export interface ImageInputs extends Size {
  /** [N, cut * cut * 3] in [0, 1]: each patch by rows, then columns, then channels. */
  patches: Float32Array;
  /** [N, 2]: x and y, counted in patches. */
  positions: Uint32Array;
  softTokens: number;
}

/** Each byte as a fraction, rounded to f32 where transformers rounds. */
const FRACTIONS = Float32Array.from({ length: 256 }, (_, byte) => Math.fround(byte * Math.fround(1 / 255)));

/** Resize by antialiased bicubic and cut into patches. `width` and `height` of the result are those after resizing. */
export function imageInputs(image: RgbImage, rules: ImageRules): ImageInputs {
  const side = softTokenSide(rules);
  const { width, height } = targetSize(image, rules);
  const { data } = resize(image, width, height);
  const cut = rules.merged ? side : rules.patch;
  const columns = width / cut;
  const count = columns * (height / cut);
  const patches = new Float32Array(data.length);
  const positions = new Uint32Array(count * 2);
  let to = 0;
  for (let patch = 0; patch < count; patch++) {
    const x = patch % columns;
    const y = Math.floor(patch / columns);
    positions.set([x, y], patch * 2);
    for (let row = 0; row < cut; row++) {
      const from = ((y * cut + row) * width + x * cut) * 3;
      for (let i = 0; i < cut * 3; i++) patches[to++] = FRACTIONS[data[from + i] as number] as number;
    }
  }
  return { patches, positions, softTokens: (width * height) / side ** 2, width, height };
}
