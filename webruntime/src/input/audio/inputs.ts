/** From samples to what a model hears. Mirrors gemtab/media/audio.py. */

import { MediaError, UsageError } from "../../errors.ts";
import type { LongAudio } from "../../messages.ts";
import { logMel } from "./mel.ts";
import { type AudioRules, audioTokens, shortest } from "./rules.ts";

/** What the part of a model that hears takes for one segment. */
export interface AudioInputs {
  /** [rows, width]: frames of a spectrogram, four a soft token, or the raw samples of each soft token. No padding. */
  features: Float32Array<ArrayBuffer>;
  rows: number;
  width: number;
  softTokens: number;
}

/** What to do with a sound that the model cannot hear at once. */

/**
 * `samples`, at the rate of `rules`, in parts that the model can hear: each is `rules.longest`, but for the last. If
 * that would be too short to be heard, the one before it gives it what it needs. Throws MediaError where `long` is
 * "refuse" and one segment is not enough.
 */
export function segments(samples: Float32Array, rules: AudioRules, long: LongAudio = "segments"): Float32Array[] {
  const { longest, rate } = rules;
  if (long === "refuse" && samples.length > longest) {
    throw new MediaError(
      `The sound lasts ${(samples.length / rate).toFixed(1)} seconds; the model hears ${longest / rate} at once. ` +
        "Cut it, or let it be heard in parts.",
    );
  }
  const cuts: number[] = [];
  for (let at = longest; at < samples.length; at += longest) cuts.push(Math.min(at, samples.length - shortest(rules)));
  return [0, ...cuts].map((start, index) => samples.subarray(start, cuts[index]));
}

/** The inputs of one segment at the rate of `rules`. Throws MediaError where it is too short, or no number. */
export function audioInputs(samples: Float32Array, rules: AudioRules): AudioInputs {
  check(samples, rules);
  const softTokens = audioTokens(samples.length, rules);
  const { frames } = rules;
  if (typeof frames !== "number") {
    const features = logMel(samples, frames);
    return { features, rows: features.length / frames.bins, width: frames.bins, softTokens };
  }
  const features = new Float32Array(softTokens * frames); // the last row is filled up with silence
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
      `The sound is too short: ${milliseconds(samples.length)} ms, and at least ${milliseconds(least)} ms are needed.`,
    );
  }
  const wrong = samples.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) {
    throw new MediaError(
      `The sound is damaged: after ${(wrong / rate).toFixed(3)} seconds there are values that are no numbers. Save it ` +
        "again.",
    );
  }
}
