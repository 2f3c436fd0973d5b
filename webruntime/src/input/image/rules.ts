/**
 * How pictures and clips become patches: what processor_config.json says, and the sizes that follow from it. Mirrors
 * gemtab/media/rules.py.
 */

import { shown } from "../../brief.ts";
import { BundleError, UsageError } from "../../errors.ts";
import { BUDGETS } from "../../facts.gen.ts";
import { DEFAULT_FRAMES, FRAME_TOKENS, IMAGE_SETTINGS, IMAGE_TOKENS, MOST_CHOSEN_FRAMES } from "../facts.gen.ts";

/** How a picture is cut. */
export interface ImageRules {
  /** Pixels on a side of a patch. */
  patch: number;
  /** Patches on a side of the square that becomes one soft token. */
  pooling: number;
  /** One of BUDGETS. */
  maxSoftTokens: number;
  /** Whether that square itself is the patch: models without a vision tower. */
  merged: boolean;
}

/** How a clip is cut: at most so many frames, each a picture under `image`. */
export interface VideoRules {
  image: ImageRules;
  frames: number;
}

export interface MediaRules {
  image: ImageRules;
  video: VideoRules;
}

export interface Size {
  width: number;
  height: number;
}

type Settings = Record<string, unknown>;

/** The rules in a parsed processor_config.json. Throws BundleError for what is not known. */
export function readRules(processor: unknown): MediaRules {
  const sections = sectionsOf(processor);
  const image = imageRules(sections, "image_processor", IMAGE_TOKENS);
  const frame = imageRules(sections, "video_processor", FRAME_TOKENS);
  const frames = sizeIn(sections.video_processor as Settings, "num_frames", DEFAULT_FRAMES, {
    most: MOST_CHOSEN_FRAMES,
  });
  return { image, video: { image: frame, frames } };
}

/** The sections of the file; none where it is no object. */
export function sectionsOf(processor: unknown): Settings {
  return typeof processor === "object" && processor !== null ? (processor as Settings) : {};
}

/** The same rules with another budget; throws UsageError when it is none of BUDGETS. */
export function withBudget(rules: ImageRules, softTokens: number): ImageRules {
  if (!isBudget(softTokens)) {
    throw new UsageError(`A picture can have at most ${BUDGETS.join(", ")} tokens, not ${softTokens}. Choose one.`);
  }
  return { ...rules, maxSoftTokens: softTokens };
}

/** Pixels on a side of one soft token. */
export function softTokenSide(rules: ImageRules): number {
  return rules.patch * rules.pooling;
}

/** The size that a picture is resized to: the aspect ratio is kept as far as both sides are whole soft tokens. */
export function targetSize({ width, height }: Size, rules: ImageRules): Size {
  const side = softTokenSide(rules);
  const scale = Math.sqrt((rules.maxSoftTokens * side ** 2) / (height * width));
  const rows = Math.floor((scale * height) / side);
  const columns = Math.floor((scale * width) / side);
  // Sides that would vanish belong to pictures longer than the whole budget laid in one line.
  if (rows === 0) return { width: rules.maxSoftTokens * side, height: side };
  if (columns === 0) return { width: side, height: rules.maxSoftTokens * side };
  return { width: columns * side, height: rows * side };
}

function imageRules(processor: Settings, section: string, defaultBudget: number): ImageRules {
  const settings = processor[section] as Settings | undefined;
  if (typeof settings !== "object" || settings === null) throw refuse(`has no ${section}`);
  for (const [name, expected] of Object.entries(IMAGE_SETTINGS)) {
    const found = settings[name] ?? expected;
    if (JSON.stringify(found) !== JSON.stringify(expected)) {
      throw refuse(`sets ${name} of ${section} to ${shown(found)}, not ${shown(expected)}`);
    }
  }
  const maxSoftTokens = Number(settings.max_soft_tokens ?? defaultBudget);
  if (!isBudget(maxSoftTokens)) {
    throw refuse(
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

/** A whole number of a section, in bounds that no model comes near. Throws BundleError for another value. */
export function sizeIn(
  settings: Settings,
  name: string,
  otherwise: number,
  { least = 1, most }: { least?: number; most: number },
): number {
  const found = settings[name] === undefined ? otherwise : settings[name];
  if (Number.isInteger(found) && Number(found) >= least && Number(found) <= most) return Number(found);
  throw refuse(`sets ${name} to ${shown(found)}, not to a whole number from ${least} to ${most}`);
}

function isBudget(softTokens: number): boolean {
  return BUDGETS.some((budget) => budget === softTokens);
}

function refuse(reason: string): BundleError {
  return new BundleError(
    `processor_config.json ${reason}: this model's media cannot be prepared. Export the bundle again.`,
    "processor_config.json",
  );
}
