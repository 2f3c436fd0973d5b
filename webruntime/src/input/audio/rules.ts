/** Reads a model's audio settings from processor_config.json. Mirrors gemtab/media/audio_rules.py. */

import { brief, shown } from "../../brief.ts";
import { BundleError } from "../../errors.ts";
import {
  AUDIO_SETTINGS,
  AUDIO_TOKEN_MS,
  AUDIO_TOKENS,
  HIGHEST_RATE,
  LOWEST_RATE,
  MAX_FRAME_SAMPLES,
  MAX_OF_EITHER,
  READ,
  WITHOUT_EFFECT,
} from "../facts.gen.ts";
import { sectionsOf, sizeIn } from "../image/rules.ts";
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

/** Settings that are equal in every Gemma 4. Other values are rejected. */
const EXPECTED: Settings = AUDIO_SETTINGS;

/** Settings that the rules use, and settings without effect. */
const KNOWN = new Set<string>([...READ, ...WITHOUT_EFFECT]);

/** Return the audio rules of a parsed processor_config.json. Throws BundleError for unknown settings. */
export function audioRules(processor: unknown): AudioRules {
  const sections = sectionsOf(processor);
  const settings = sections.feature_extractor as Settings | undefined;
  if (typeof settings !== "object" || settings === null) throw rejection("has no feature_extractor");
  for (const [name, found] of Object.entries(settings)) check(name, found);
  const rate = sizeIn(settings, "sampling_rate", 16_000, { least: LOWEST_RATE, most: HIGHEST_RATE });
  const milliseconds =
    sizeIn(sections, "audio_seq_length", AUDIO_TOKENS, { most: MAX_OF_EITHER }) *
    sizeIn(sections, "audio_ms_per_token", AUDIO_TOKEN_MS, { most: MAX_OF_EITHER });
  const unified = String(settings.feature_extractor_type ?? sections.processor_class).includes("Unified");
  return {
    rate,
    longest: Math.floor((milliseconds * rate) / 1000),
    frames: unified
      ? sizeIn(settings, "audio_samples_per_token", 640, { most: MAX_FRAME_SAMPLES })
      : melRules(settings, rate),
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
    if (found !== expected) throw rejection(`sets ${name} of feature_extractor to ${shown(found)}, not ${expected}`);
  } else if (!KNOWN.has(name)) {
    throw rejection(`sets ${brief(name)} of feature_extractor, an unknown setting, to ${shown(found)}`);
  }
}

function melRules(settings: Settings, rate: number): MelRules {
  const frame = sizeIn(settings, "frame_length", Math.floor(rate / 50), { most: MAX_FRAME_SAMPLES });
  const transform = sizeIn(settings, "fft_length", 512, { most: MAX_FRAME_SAMPLES });
  if (!Number.isInteger(Math.log2(transform)) || transform < frame) {
    throw rejection(`sets fft_length of feature_extractor to ${transform}, not a power of two of at least ${frame}`);
  }
  return {
    rate,
    frame,
    hop: sizeIn(settings, "hop_length", Math.floor(rate / 100), { most: MAX_FRAME_SAMPLES }),
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
  throw rejection(`sets ${name} of feature_extractor to ${shown(found)}, not to a number from 0 to ${HIGHEST_RATE}`);
}

function rejection(reason: string): BundleError {
  return new BundleError(
    `processor_config.json ${reason}: this model's audio cannot be prepared. Export the bundle again.`,
    "processor_config.json",
  );
}
