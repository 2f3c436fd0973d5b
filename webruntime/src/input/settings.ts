/** Numbers of processor_config.json, which anybody may have written. */

import { shown } from "../engine/brief.ts";
import type { BundleError } from "../engine/errors.ts";

export type Settings = Readonly<Record<string, unknown>>;

/** Makes the error, of what the file does. */
export type Refuse = (reason: string) => BundleError;

/** The object in a file or in a section of it; undefined where there is none. */
export function settingsIn(found: unknown): Settings | undefined {
  return typeof found === "object" && found !== null && !Array.isArray(found) ? (found as Settings) : undefined;
}

/** A whole number from `least` to `most`, or the default where there is none. */
export function wholeSetting(
  settings: Settings,
  name: string,
  { least, most, otherwise }: { least: number; most: number; otherwise: number },
  refuse: Refuse,
): number {
  const found = settings[name] ?? otherwise;
  if (Number.isInteger(found) && (found as number) >= least && (found as number) <= most) return found as number;
  throw refuse(`sets ${name} to ${shown(found)}, not to a whole number from ${least} to ${most}`);
}

/** A number from `least` to `most`, or the default where there is none. */
export function numberSetting(
  settings: Settings,
  name: string,
  { least, most, otherwise }: { least: number; most: number; otherwise: number },
  refuse: Refuse,
): number {
  const found = settings[name] ?? otherwise;
  if (typeof found === "number" && found >= least && found <= most) return found;
  throw refuse(`sets ${name} to ${shown(found)}, not to a number from ${least} to ${most}`);
}

/** Whether a class of transformers is one of the model without towers. */
export function isUnified(name: unknown): boolean {
  return typeof name === "string" && name.includes("Unified");
}
