/** Computes the log-mel spectrograms of Gemma 4's audio tower. Mirrors gemtab/media/mel.py. */

/** The settings of a spectrogram. */
export interface MelRules {
  /** Samples a second. */
  rate: number;
  /** Samples in a frame. */
  frame: number;
  /** Samples from one frame to the next. */
  hop: number;
  /** Length of the Fourier transform, a power of two. */
  transform: number;
  /** The number of mel bins, from `lowest` to `highest` Hz. */
  bins: number;
  lowest: number;
  highest: number;
  /** Added to magnitudes before the logarithm. */
  floor: number;
}

/** One triangle over the spectrum: its weights from frequency `first`. */
interface MelFilter {
  first: number;
  weights: Float64Array;
}

/**
 * Return the number of frames of `samples` samples. Frame i is centred on sample i * hop, as if half a frame of silence
 * came before the audio. A frame counts only if the sample after its last exists.
 */
export function frameCount(samples: number, { frame, hop }: MelRules): number {
  return Math.max(0, Math.floor((samples + Math.floor(frame / 2) - (frame + 1)) / hop) + 1);
}

/** Return the minimum number of samples of a frame. */
export function fewestSamples({ frame }: MelRules): number {
  return frame + 1 - Math.floor(frame / 2);
}

/** Return the natural logarithm of mel magnitudes, [frames, bins], of the frames within the audio. */
export function logMel(samples: Float32Array, rules: MelRules): Float32Array<ArrayBuffer> {
  const { frame, hop, transform, bins, floor } = rules;
  const count = frameCount(samples.length, rules);
  const features = new Float32Array(count * bins);
  const window = hann(frame);
  const filters = melFilters(rules);
  const fourier = new Fourier(transform);
  for (let row = 0; row < count; row++) {
    const start = row * hop - Math.floor(frame / 2);
    const magnitudes = fourier.magnitudes((i) =>
      i < frame && start + i >= 0 ? Math.fround((samples[start + i] ?? 0) * (window[i] ?? 0)) : 0,
    );
    for (const [bin, filter] of filters.entries()) {
      features[row * bins + bin] = Math.log(weigh(magnitudes, filter) + floor);
    }
  }
  return features;
}

/**
 * Return one triangle of height 1 for each bin, in Hz. Their corners are equally spaced on HTK's mel scale; some
 * triangles are empty.
 */
function melFilters({ rate, transform, bins, lowest, highest }: MelRules): MelFilter[] {
  const [from, to] = [mel(lowest), mel(highest)];
  const corner = (i: number) => 700 * (10 ** ((from + (i * (to - from)) / (bins + 1)) / 2595) - 1);
  return Array.from({ length: bins }, (_, bin) => {
    const [left, top, right] = [corner(bin), corner(bin + 1), corner(bin + 2)];
    const first = Math.ceil((left * transform) / rate);
    const last = Math.min(Math.floor((right * transform) / rate), transform / 2);
    const weights = Float64Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => {
      const hertz = ((first + i) * rate) / transform;
      return Math.max(0, Math.min((hertz - left) / (top - left), (right - hertz) / (right - top)));
    });
    return { first, weights };
  });
}

function mel(hertz: number): number {
  return 2595 * Math.log10(1 + hertz / 700);
}

function weigh(magnitudes: Float64Array, { first, weights }: MelFilter): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += (weights[i] ?? 0) * (magnitudes[first + i] ?? 0);
  return sum;
}

/** Return the periodic Hann window. */
function hann(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / length));
}

/** The Fourier transform of real values: radix 2, in place. The length is a power of two. */
export class Fourier {
  readonly #length: number;
  readonly #real: Float64Array;
  readonly #imaginary: Float64Array;
  readonly #cosines: Float64Array;
  readonly #sines: Float64Array;
  /** The initial position of each value: its index with the bits reversed. */
  readonly #positions: Uint32Array;

  constructor(length: number) {
    this.#length = length;
    this.#real = new Float64Array(length);
    this.#imaginary = new Float64Array(length);
    this.#cosines = Float64Array.from({ length: length / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / length));
    this.#sines = Float64Array.from({ length: length / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / length));
    this.#positions = new Uint32Array(length);
    for (let i = 1; i < length; i++) {
      this.#positions[i] = ((this.#positions[i >> 1] ?? 0) >> 1) | (i & 1 ? length >> 1 : 0);
    }
  }

  /** Return |X| at the frequencies 0 … length / 2 for the values `value(0)` … `value(length - 1)`. */
  magnitudes(value: (index: number) => number): Float64Array {
    this.#imaginary.fill(0);
    for (let i = 0; i < this.#length; i++) this.#real[this.#positions[i] ?? 0] = value(i);
    for (let half = 1; half < this.#length; half *= 2) this.#join(half);
    return Float64Array.from({ length: this.#length / 2 + 1 }, (_, i) =>
      Math.sqrt((this.#real[i] ?? 0) ** 2 + (this.#imaginary[i] ?? 0) ** 2),
    );
  }

  /** Combine each pair of neighbouring transforms of length `half` into one of twice that length. */
  #join(half: number): void {
    const [real, imaginary, step] = [this.#real, this.#imaginary, this.#length / (2 * half)];
    for (let k = 0; k < half; k++) {
      const [cosine, sine] = [this.#cosines[k * step] ?? 0, this.#sines[k * step] ?? 0];
      for (let even = k; even < this.#length; even += 2 * half) {
        const odd = even + half;
        const [a, b, c, d] = [real[odd] ?? 0, imaginary[odd] ?? 0, real[even] ?? 0, imaginary[even] ?? 0];
        const x = a * cosine - b * sine;
        const y = a * sine + b * cosine;
        real[odd] = c - x;
        imaginary[odd] = d - y;
        real[even] = c + x;
        imaginary[even] = d + y;
      }
    }
  }
}
