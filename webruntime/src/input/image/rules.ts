/**
 * Reads a model's image and video settings from processor_config.json, and derives sizes from them. Mirrors
 * gemtab/media/rules.py.
 */

import { shown } from "../../brief.ts";
import { BundleError, UsageError } from "../../errors.ts";
import { BUDGETS } from "../../facts.gen.ts";
import { DEFAULT_FRAMES, FRAME_TOKENS, IMAGE_SETTINGS, IMAGE_TOKENS, MAX_CHOSEN_FRAMES } from "../facts.gen.ts";

/** The settings of an image's patches. */
export interface ImageRules {
  /** The side of a patch, in pixels. */
  patch: number;
  /** The side, in patches, of the square that becomes one soft token. */
  pooling: number;
  /** The maximum number of soft tokens: one of BUDGETS. */
  maxSoftTokens: number;
  /** Whether the square of a soft token is the patch itself, as in models without a vision tower. */
  merged: boolean;
}

/** The settings of a video: the maximum number of frames, and the settings of each frame. */
export interface VideoRules {
  image: ImageRules;
  frames: number;
}

/** The settings of images and videos. */
export interface MediaRules {
  image: ImageRules;
  video: VideoRules;
}

/** A size in pixels. */
export interface Size {
  width: number;
  height: number;
}

type Settings = Record<string, unknown>;

/** Return the rules of a parsed processor_config.json. Throws BundleError for unknown settings. */
export function readRules(processor: unknown): MediaRules {
  const sections = sectionsOf(processor);
  const image = imageRules(sections, "image_processor", IMAGE_TOKENS);
  const frame = imageRules(sections, "video_processor", FRAME_TOKENS);
  const frames = sizeIn(sections.video_processor as Settings, "num_frames", DEFAULT_FRAMES, {
    most: MAX_CHOSEN_FRAMES,
  });
  return { image, video: { image: frame, frames } };
}

/** Return the sections of the file, or none where it is not an object. */
export function sectionsOf(processor: unknown): Settings {
  return typeof processor === "object" && processor !== null ? (processor as Settings) : {};
}

/** Return the rules with another budget. Throws UsageError where it is not one of BUDGETS. */
export function withBudget(rules: ImageRules, softTokens: number): ImageRules {
  if (!isBudget(softTokens)) {
    throw new UsageError(`An image can have at most ${BUDGETS.join(", ")} tokens, not ${softTokens}. Choose one.`);
  }
  return { ...rules, maxSoftTokens: softTokens };
}

/** Return the side of one soft token, in pixels. */
export function softTokenSide(rules: ImageRules): number {
  return rules.patch * rules.pooling;
}

/**
 * Return the size to which an image is resized. The aspect ratio is kept as far as both sides are whole numbers of soft
 * tokens.
 */
export function targetSize({ width, height }: Size, rules: ImageRules): Size {
  const side = softTokenSide(rules);
  const scale = Math.sqrt((rules.maxSoftTokens * side ** 2) / (height * width));
  const rows = Math.floor((scale * height) / side);
  const columns = Math.floor((scale * width) / side);
  // A side becomes 0 only for an image longer than the whole budget in one line.
  if (rows === 0) return { width: rules.maxSoftTokens * side, height: side };
  if (columns === 0) return { width: side, height: rules.maxSoftTokens * side };
  return { width: columns * side, height: rows * side };
}

function imageRules(processor: Settings, section: string, defaultBudget: number): ImageRules {
  const settings = processor[section] as Settings | undefined;
  if (typeof settings !== "object" || settings === null) throw rejection(`has no ${section}`);
  for (const [name, expected] of Object.entries(IMAGE_SETTINGS)) {
    const found = settings[name] ?? expected;
    if (JSON.stringify(found) !== JSON.stringify(expected)) {
      throw rejection(`sets ${name} of ${section} to ${shown(found)}, not ${shown(expected)}`);
    }
  }
  const maxSoftTokens = Number(settings.max_soft_tokens ?? defaultBudget);
  if (!isBudget(maxSoftTokens)) {
    throw rejection(
      `sets max_soft_tokens of ${section} to ${shown(settings.max_soft_tokens)}, not one of ${BUDGETS.join(", ")}`,
    );
  }
  return {
    patch: sizeIn(settings, "patch_size", 16, { most: 128 }),
    pooling: sizeIn(settings, "pooling_kernel_size", 3, { most: 32 }),
    maxSoftTokens,
    merged: String(settings[`${section}_type`] ?? processor.processor_class).includes("Unified"),
  };
}

/** Return a whole number of a section, within bounds far above any model's. Throws BundleError for another value. */
export function sizeIn(
  settings: Settings,
  name: string,
  otherwise: number,
  { least = 1, most }: { least?: number; most: number },
): number {
  const found = settings[name] === undefined ? otherwise : settings[name];
  if (Number.isInteger(found) && Number(found) >= least && Number(found) <= most) return Number(found);
  throw rejection(`sets ${name} to ${shown(found)}, not to a whole number from ${least} to ${most}`);
}

function isBudget(softTokens: number): boolean {
  return BUDGETS.some((budget) => budget === softTokens);
}

function rejection(reason: string): BundleError {
  return new BundleError(
    `processor_config.json ${reason}: this model's media cannot be prepared. Export the bundle again.`,
    "processor_config.json",
  );
}
