/** How a model hears: what processor_config.json decides. Mirrors gemtab/media/audio_rules.py. */

import { brief, shown } from "../../engine/brief.ts";
import { BundleError } from "../../engine/errors.ts";
import { isUnified, numberSetting, type Settings, settingsIn, wholeSetting } from "../settings.ts";
import { fewestSamples, frameCount, type MelRules } from "./mel.ts";

/** How sound becomes rows of numbers: a spectrogram, or so many raw samples a soft token where there is no tower. */
export interface AudioRules {
  /** Samples a second. */
  rate: number;
  /** Samples in one segment at most. */
  longest: number;
  frames: MelRules | number;
}

/** Settings that every Gemma 4 has alike; another value is refused. */
const EXPECTED: Settings = {
  dither: 0,
  fft_overdrive: false,
  input_scale_factor: 1,
  padding_side: "right",
  padding_value: 0,
  per_bin_mean: null,
  per_bin_stddev: null,
  preemphasis: 0,
};

/** Settings that the rules are made of, and those without effect. */
const KNOWN = new Set([
  "audio_samples_per_token",
  "feature_extractor_type",
  "feature_size",
  "fft_length",
  "frame_length",
  "hop_length",
  "max_frequency",
  "mel_floor",
  "min_frequency",
  "preemphasis_htk_flavor",
  "processor_class",
  "return_attention_mask",
  "sampling_rate",
]);

/** The rules for sounds in a parsed processor_config.json. Throws BundleError for what is not known. */
export function audioRules(processor: unknown): AudioRules {
  const sections = settingsIn(processor) ?? {};
  const settings = settingsIn(sections.feature_extractor);
  if (!settings) throw refuse("has no feature_extractor");
  for (const [name, found] of Object.entries(settings)) check(name, found);
  const rate = whole(settings, "sampling_rate", 16_000, 1000, 384_000);
  const milliseconds = whole(sections, "audio_seq_length", 750) * whole(sections, "audio_ms_per_token", 40);
  const unified = isUnified(settings.feature_extractor_type ?? sections.processor_class);
  return {
    rate,
    longest: Math.floor((milliseconds * rate) / 1000),
    frames: unified ? whole(settings, "audio_samples_per_token", 640) : melRules(settings, rate),
  };
}

function whole(settings: Settings, name: string, otherwise: number, least = 1, most = 65_536): number {
  return wholeSetting(settings, name, { least, most, otherwise }, refuse);
}

/** Soft tokens of a segment of so many samples, as `Gemma4Processor` counts them. */
export function audioTokens(samples: number, { frames }: AudioRules): number {
  return typeof frames === "number" ? Math.ceil(samples / frames) : Math.ceil(frameCount(samples, frames) / 4);
}

/** The fewest samples that make a soft token. */
export function shortest({ frames }: AudioRules): number {
  return typeof frames === "number" ? 1 : fewestSamples(frames);
}

function check(name: string, found: unknown): void {
  if (Object.hasOwn(EXPECTED, name)) {
    const expected = EXPECTED[name];
    if (found !== expected) throw refuse(`sets ${name} of feature_extractor to ${shown(found)}, not ${expected}`);
  } else if (!KNOWN.has(name)) {
    throw refuse(`sets ${brief(name)} of feature_extractor, an unknown setting, to ${shown(found)}`);
  }
}

function melRules(settings: Settings, rate: number): MelRules {
  const frame = whole(settings, "frame_length", Math.floor(rate / 50));
  const transform = whole(settings, "fft_length", 512);
  if (!Number.isInteger(Math.log2(transform)) || transform < frame) {
    throw refuse(`sets fft_length of feature_extractor to ${transform}, not a power of two of at least ${frame}`);
  }
  const lowest = numberSetting(settings, "min_frequency", { least: 0, most: rate, otherwise: 0 }, refuse);
  return {
    rate,
    frame,
    hop: whole(settings, "hop_length", Math.floor(rate / 100)),
    transform,
    bins: whole(settings, "feature_size", 128, 1, 1024),
    lowest,
    highest: numberSetting(settings, "max_frequency", { least: lowest, most: rate, otherwise: 8000 }, refuse),
    floor: numberSetting(settings, "mel_floor", { least: Number.MIN_VALUE, most: 1, otherwise: 1e-3 }, refuse),
  };
}

function refuse(reason: string): BundleError {
  return new BundleError(
    `processor_config.json ${reason}: this model's sounds cannot be prepared. Export the bundle again.`,
    "processor_config.json",
  );
}
