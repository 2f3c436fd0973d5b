/** Converts samples to a model's audio inputs. Mirrors gemtab/media/audio.py. */

import { MediaError, UsageError } from "../../errors.ts";
import type { LongAudio } from "../../messages.ts";
import { logMel } from "./mel.ts";
import { type AudioRules, audioTokens, shortest } from "./rules.ts";

/** The inputs of a model's audio part for one segment. */
export interface AudioInputs {
  /**
   * [rows, width], without padding: frames of a spectrogram, four for each soft token, or the raw samples of each soft
   * token.
   */
  features: Float32Array<ArrayBuffer>;
  rows: number;
  width: number;
  softTokens: number;
}

/**
 * Split `samples`, at the rate of `rules`, into segments that the model can take. Each has `rules.longest` samples,
 * except the last. If the last would be too short, the segment before it gives it the missing samples. Throws
 * MediaError where `long` is "refuse" and one segment is not enough.
 */
export function segments(samples: Float32Array, rules: AudioRules, long: LongAudio = "segments"): Float32Array[] {
  const { longest, rate } = rules;
  if (long === "refuse" && samples.length > longest) {
    throw new MediaError(
      `The audio lasts ${(samples.length / rate).toFixed(1)} seconds; the model hears ${longest / rate} at once. ` +
        "Cut it, or choose to split it into parts.",
    );
  }
  const cuts: number[] = [];
  for (let at = longest; at < samples.length; at += longest) cuts.push(Math.min(at, samples.length - shortest(rules)));
  return [0, ...cuts].map((start, index) => samples.subarray(start, cuts[index]));
}

/**
 * Return the inputs of one segment at the rate of `rules`. Throws MediaError where the segment is too short or has
 * values that are not numbers.
 */
export function audioInputs(samples: Float32Array, rules: AudioRules): AudioInputs {
  check(samples, rules);
  const softTokens = audioTokens(samples.length, rules);
  const { frames } = rules;
  if (typeof frames !== "number") {
    const features = logMel(samples, frames);
    return { features, rows: features.length / frames.bins, width: frames.bins, softTokens };
  }
  const features = new Float32Array(softTokens * frames); // silence pads the last row
  features.set(samples);
  return { features, rows: softTokens, width: frames, softTokens };
}

function check(samples: Float32Array, rules: AudioRules): void {
  const { longest, rate } = rules;
  if (samples.length > longest) {
    throw new UsageError(`A segment has at most ${longest} samples, not ${samples.length}: use segments() first.`);
  }
  const least = shortest(rules);
  if (samples.length < least) {
    const milliseconds = (count: number) => ((count * 1000) / rate).toFixed(1);
    throw new MediaError(
      `The audio is too short: ${milliseconds(samples.length)} ms, but at least ${milliseconds(least)} ms are needed.`,
    );
  }
  const wrong = samples.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) {
    throw new MediaError(
      `The audio is damaged: after ${(wrong / rate).toFixed(3)} seconds there are values that are not numbers. Save it ` +
        "again.",
    );
  }
}
