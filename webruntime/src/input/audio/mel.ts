/** Log-mel spectrograms, as Gemma 4's audio tower hears. Mirrors gemtab/media/mel.py. */

/** How sound becomes a spectrogram. */
export interface MelRules {
  /** Samples a second. */
  rate: number;
  /** Samples in a frame. */
  frame: number;
  /** Samples from one frame to the next. */
  hop: number;
  /** Length of the Fourier transform, a power of two. */
  transform: number;
  /** On the mel scale, from `lowest` to `highest` Hz. */
  bins: number;
  lowest: number;
  highest: number;
  /** Is added before the logarithm. */
  floor: number;
}

/** One triangle on the spectrum: its weights from frequency `first` on. */
interface MelFilter {
  first: number;
  weights: Float64Array;
}

/**
 * Frames of so many samples. Frame i is centred on sample i * hop, as if half a frame of silence came before the sound.
 * It counts only if the sample after its last is there too.
 */
export function frameCount(samples: number, { frame, hop }: MelRules): number {
  return Math.max(0, Math.floor((samples + Math.floor(frame / 2) - (frame + 1)) / hop) + 1);
}

/** The fewest samples that make a frame. */
export function fewestSamples({ frame }: MelRules): number {
  return frame + 1 - Math.floor(frame / 2);
}

/** [frames, bins] of the natural logarithm of mel magnitudes; only frames that lie in the sound. */
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

/** A triangle of height 1 for each bin, in Hz, its corners equally far on the mel scale of HTK; some are empty. */
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

/** The periodic Hann window. */
function hann(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / length));
}

/** The Fourier transform of real values, of a length that is a power of two: radix 2, in place. */
export class Fourier {
  readonly #length: number;
  readonly #real: Float64Array;
  readonly #imaginary: Float64Array;
  readonly #cosines: Float64Array;
  readonly #sines: Float64Array;
  /** Where each value begins: its index with the bits reversed. */
  readonly #places: Uint32Array;

  constructor(length: number) {
    this.#length = length;
    this.#real = new Float64Array(length);
    this.#imaginary = new Float64Array(length);
    this.#cosines = Float64Array.from({ length: length / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / length));
    this.#sines = Float64Array.from({ length: length / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / length));
    this.#places = new Uint32Array(length);
    for (let i = 1; i < length; i++) {
      this.#places[i] = ((this.#places[i >> 1] ?? 0) >> 1) | (i & 1 ? length >> 1 : 0);
    }
  }

  /** |X| at the frequencies 0 … length / 2 of the values that `value` gives for 0 … length - 1. */
  magnitudes(value: (index: number) => number): Float64Array {
    this.#imaginary.fill(0);
    for (let i = 0; i < this.#length; i++) this.#real[this.#places[i] ?? 0] = value(i);
    for (let half = 1; half < this.#length; half *= 2) this.#join(half);
    return Float64Array.from({ length: this.#length / 2 + 1 }, (_, i) =>
      Math.sqrt((this.#real[i] ?? 0) ** 2 + (this.#imaginary[i] ?? 0) ** 2),
    );
  }

  /** Makes of each two neighbouring transforms of length `half` one of twice that. */
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
