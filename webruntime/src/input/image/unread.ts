/** Image formats that are recognized, but not supported. Mirrors gemtab/media/unread.py. */

import { UNREAD } from "../facts.gen.ts";
import { has } from "./bytes.ts";

/** Return the name of the format by its first bytes, or undefined for other formats. */
export function unreadFormat(bytes: Uint8Array): string | undefined {
  return UNREAD.find(([offset, magic]) => has(bytes, offset, magic))?.[2];
}
