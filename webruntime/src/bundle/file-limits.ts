/** The most bytes of files that are read whole. Mirrors gemtab/bundle/reading.py. */

import { MANIFEST_NAME } from "./facts.gen.ts";
import { LIMITS } from "./limits.gen.ts";

const BY_NAME: Readonly<Record<string, number>> = {
  [MANIFEST_NAME]: LIMITS.MANIFEST_BYTES,
  "tokenizer.json": LIMITS.TOKENIZER_BYTES,
  "chat_template.jinja": LIMITS.TEMPLATE_BYTES,
};

/** The most bytes of a file of a bundle; undefined for files that are not read whole, such as weights. */
export function maxBytes(file: string): number | undefined {
  if (Object.hasOwn(BY_NAME, file)) return BY_NAME[file];
  if (file.startsWith("plan/") && file.endsWith(".json")) return LIMITS.PLAN_BYTES;
  if (file.endsWith(".wgsl")) return LIMITS.SHADER_BYTES;
  return file.endsWith(".json") ? LIMITS.CONFIG_BYTES : undefined;
}
