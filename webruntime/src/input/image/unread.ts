/** Kinds of images that are known, but not read. */

import { UNREAD } from "../facts.gen.ts";
import { has } from "./bytes.ts";

/** The name of the kind that the bytes begin as; undefined where it is none of these. */
export function unreadFormat(bytes: Uint8Array): string | undefined {
  return UNREAD.find(([offset, magic]) => has(bytes, offset, magic))?.[2];
}
