/** Reads a model's audio settings from processor_config.json. Mirrors gemtab/media/audio_rules.py. */

import { brief, shown } from "../../brief.ts";
import { BundleError } from "../../errors.ts";
import { sectionsOf, sizeIn } from "../image/rules.ts";
import { HIGHEST_RATE, LOWEST_RATE } from "../limits.ts";
import { fewestSamples, frameCount, type MelRules } from "./mel.ts";

/** The settings of audio rows: a spectrogram, or, without a tower, a number of raw samples for each soft token. */
export interface AudioRules {
  /** Samples a second. */
  rate: number;
  /** The maximum number of samples of a segment. */
  longest: number;
  frames: MelRules | number;
}

type Settings = Record<string, unknown>;

/** The maximum samples of a frame or of a soft token, far above any model's. */
const MOST = 1 << 16;

/** Settings that are equal in every Gemma 4. Other values are rejected. */
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

/** Settings that the rules use, and settings without effect. */
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

/** Return the audio rules of a parsed processor_config.json. Throws BundleError for unknown settings. */
export function audioRules(processor: unknown): AudioRules {
  const sections = sectionsOf(processor);
  const settings = sections.feature_extractor as Settings | undefined;
  if (typeof settings !== "object" || settings === null) throw refuse("has no feature_extractor");
  for (const [name, found] of Object.entries(settings)) check(name, found);
  const rate = sizeIn(settings, "sampling_rate", 16_000, { least: LOWEST_RATE, most: HIGHEST_RATE });
  const milliseconds =
    sizeIn(sections, "audio_seq_length", 750, { most: 10_000 }) *
    sizeIn(sections, "audio_ms_per_token", 40, { most: 10_000 });
  const unified = String(settings.feature_extractor_type ?? sections.processor_class).includes("Unified");
  return {
    rate,
    longest: Math.floor((milliseconds * rate) / 1000),
    frames: unified ? sizeIn(settings, "audio_samples_per_token", 640, { most: MOST }) : melRules(settings, rate),
  };
}

/** Return the number of soft tokens of a segment with `samples` samples, as `Gemma4Processor` counts them. */
export function audioTokens(samples: number, { frames }: AudioRules): number {
  return typeof frames === "number" ? Math.ceil(samples / frames) : Math.ceil(frameCount(samples, frames) / 4);
}

/** Return the minimum number of samples of a soft token. */
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
  const frame = sizeIn(settings, "frame_length", Math.floor(rate / 50), { most: MOST });
  const transform = sizeIn(settings, "fft_length", 512, { most: MOST });
  if (!Number.isInteger(Math.log2(transform)) || transform < frame) {
    throw refuse(`sets fft_length of feature_extractor to ${transform}, not a power of two of at least ${frame}`);
  }
  return {
    rate,
    frame,
    hop: sizeIn(settings, "hop_length", Math.floor(rate / 100), { most: MOST }),
    transform,
    bins: sizeIn(settings, "feature_size", 128, { most: 1024 }),
    lowest: numberIn(settings, "min_frequency", 0),
    highest: numberIn(settings, "max_frequency", 8000),
    floor: numberIn(settings, "mel_floor", 1e-3),
  };
}

function numberIn(settings: Settings, name: string, otherwise: number): number {
  const found = settings[name] === undefined ? otherwise : settings[name];
  if (typeof found === "number" && found >= 0 && found <= HIGHEST_RATE) return found;
  throw refuse(`sets ${name} of feature_extractor to ${shown(found)}, not to a number from 0 to ${HIGHEST_RATE}`);
}

function refuse(reason: string): BundleError {
  return new BundleError(
    `processor_config.json ${reason}: this model's audio cannot be prepared. Export the bundle again.`,
    "processor_config.json",
  );
}
