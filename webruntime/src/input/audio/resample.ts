/**
 * Changing the rate of sound, by a polyphase filter: a sinc under a Kaiser window. Mirrors gemtab/media/resample.py,
 * which says what it promises: the same coefficients, where a browser's own resampler is not specified.
 */

import { BETA, CUTOFF, REACH } from "../facts.gen.ts";

/** ceil(samples * target / rate) samples at `target` Hz of sound at `rate` Hz; both whole numbers. */
export function resample(samples: Float32Array, rate: number, target: number): Float32Array {
  if (rate === target || samples.length === 0) return samples;
  const divisor = greatestCommonDivisor(rate, target);
  const [up, down] = [target / divisor, rate / divisor];
  const before = reach(up, down);
  const result = new Float32Array(Math.ceil((samples.length * up) / down));
  // Output n lies at input n * down / up. Outputs `up` apart have the same phase, and are `down` inputs apart.
  for (let first = 0; first < Math.min(up, result.length); first++) {
    const taps = coefficients(up, down, (first * down) % up);
    let start = Math.floor((first * down) / up) + 1 - before;
    for (let n = first; n < result.length; n += up, start += down) result[n] = weigh(samples, start, taps);
  }
  return result;
}

/** Input samples that an output sample depends on, to either side. */
function reach(up: number, down: number): number {
  return Math.ceil(REACH * Math.max(1, down / up));
}

/**
 * Factors of the inputs 1 - reach … reach, counted from the last one not after an output that lies phase / up behind
 * it. They add up to 1.
 */
function coefficients(up: number, down: number, phase: number): Float64Array {
  const before = reach(up, down);
  const scale = Math.min(1, up / down);
  const taps = Float64Array.from({ length: 2 * before }, (_, i) => tap((i + 1 - before - phase / up) * scale));
  const sum = taps.reduce((total, value) => total + value, 0);
  return taps.map((value) => value / sum);
}

/** The filter at t samples of the lower rate from its middle. */
function tap(t: number): number {
  if (Math.abs(t) >= REACH) return 0;
  return sinc(CUTOFF * t) * bessel(BETA * Math.sqrt(1 - (t / REACH) ** 2));
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The modified Bessel function of the first kind and order 0, by its power series: exact to f64 for x up to BETA. */
function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** The sum of `taps` times the samples from `start` on; there is silence before and after the sound. */
function weigh(samples: Float32Array, start: number, taps: Float64Array): number {
  let sum = 0;
  const end = Math.min(taps.length, samples.length - start);
  for (let i = Math.max(0, -start); i < end; i++) sum += (taps[i] ?? 0) * (samples[start + i] ?? 0);
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
