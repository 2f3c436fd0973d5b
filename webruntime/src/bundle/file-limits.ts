/** How large the files of a bundle may be that are read whole. Mirrors gemtab/bundle/reading.py. */

import { MANIFEST_NAME } from "./facts.gen.ts";
import { LIMITS } from "./limits.gen.ts";

const BY_NAME: Readonly<Record<string, number>> = {
  [MANIFEST_NAME]: LIMITS.MANIFEST_BYTES,
  "tokenizer.json": LIMITS.TOKENIZER_BYTES,
  "chat_template.jinja": LIMITS.TEMPLATE_BYTES,
};

/** Undefined for weights and the like, which are not read whole. */
export function mostBytes(file: string): number | undefined {
  if (Object.hasOwn(BY_NAME, file)) return BY_NAME[file];
  if (file.startsWith("plan/") && file.endsWith(".json")) return LIMITS.PLAN_BYTES;
  if (file.endsWith(".wgsl")) return LIMITS.SHADER_BYTES;
  return file.endsWith(".json") ? LIMITS.CONFIG_BYTES : undefined;
}
