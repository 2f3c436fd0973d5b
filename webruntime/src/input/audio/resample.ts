/**
 * Changes the rate of audio with a polyphase filter: a sinc under a Kaiser window. Mirrors gemtab/media/resample.py,
 * which states the filter's properties. Both have the same coefficients; a browser's own resampler is unspecified.
 */

import { BETA, CUTOFF, REACH } from "../facts.gen.ts";

/** Return ceil(samples * target / rate) samples at `target` Hz for audio at `rate` Hz. Both rates are whole numbers. */
export function resample(samples: Float32Array, rate: number, target: number): Float32Array {
  if (rate === target || samples.length === 0) return samples;
  const divisor = greatestCommonDivisor(rate, target);
  const [up, down] = [target / divisor, rate / divisor];
  const before = reach(up, down);
  const result = new Float32Array(Math.ceil((samples.length * up) / down));
  // Output n is at input n * down / up. Outputs at a distance of `up` have the same phase, and their inputs a distance
  // of `down`.
  for (let first = 0; first < Math.min(up, result.length); first++) {
    const taps = coefficients(up, down, (first * down) % up);
    let start = Math.floor((first * down) / up) + 1 - before;
    for (let n = first; n < result.length; n += up, start += down) result[n] = weigh(samples, start, taps);
  }
  return result;
}

/** Return the number of input samples on either side that an output sample depends on. */
function reach(up: number, down: number): number {
  return Math.ceil(REACH * Math.max(1, down / up));
}

/**
 * Return the factors of the inputs 1 - reach … reach, relative to the last input that is not after the output. The
 * output is phase / up after that input. The factors add up to 1.
 */
function coefficients(up: number, down: number, phase: number): Float64Array {
  const before = reach(up, down);
  const scale = Math.min(1, up / down);
  const taps = Float64Array.from({ length: 2 * before }, (_, i) => tap((i + 1 - before - phase / up) * scale));
  const sum = taps.reduce((total, value) => total + value, 0);
  return taps.map((value) => value / sum);
}

/** Return the filter at t samples of the lower rate from its centre. */
function tap(t: number): number {
  if (Math.abs(t) >= REACH) return 0;
  return sinc(CUTOFF * t) * bessel(BETA * Math.sqrt(1 - (t / REACH) ** 2));
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/**
 * Return the modified Bessel function of the first kind and order 0, by its power series: exact to f64 for x up to
 * BETA.
 */
function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** Return the sum of `taps` times the samples from `start`. Before and after the audio there is silence. */
function weigh(samples: Float32Array, start: number, taps: Float64Array): number {
  let sum = 0;
  const end = Math.min(taps.length, samples.length - start);
  for (let i = Math.max(0, -start); i < end; i++) sum += (taps[i] ?? 0) * (samples[start + i] ?? 0);
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
