/** Reads untrusted JSON. */

import { shown } from "../brief.ts";
import { BundleError } from "../errors.ts";

/** Most levels of nesting. No file of a bundle has more, and deeper ones could exhaust the stack of their readers. */
const MAX_NESTED = 200;

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [...'"\\[]{}'].map((mark) =>
  mark.charCodeAt(0),
);

/** Decodes UTF-8. file: its path in the bundle, for errors. Throws BundleError for other bytes. */
export function decodeText(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BundleError(`${file} is not text in UTF-8. Export the bundle again.`, file);
  }
}

/**
 * Parses JSON.
 *
 * @param file the file's path in the bundle, for errors
 * @param folder the bundle's address, for errors
 * @throws BundleError for text that is no JSON or is nested too deeply
 */
export function parseJson(text: string, file: string, folder: string): unknown {
  if (isNestedDeeper(text, MAX_NESTED)) {
    throw new BundleError(
      `${file} is nested deeper than ${MAX_NESTED} levels, more than any file of gemtab. Export the bundle again.`,
      file,
    );
  }
  try {
    return JSON.parse(text);
  } catch {
    const found = /^\s*</.test(text) ? "The host answers with a web page, as many do for a missing file. " : "";
    throw new BundleError(
      `${file} at ${folder} is not JSON. ${found}Is this the address of a bundle's folder, and was all of it uploaded?`,
      file,
    );
  }
}

/** `found` as an object. file: its path in the bundle, for errors. Throws BundleError for any other value. */
export function objectIn(found: unknown, file: string): Record<string, unknown> {
  if (typeof found === "object" && found !== null && !Array.isArray(found)) return found as Record<string, unknown>;
  throw new BundleError(`${file} holds ${shown(found)}, not an object. Export the bundle again.`, file);
}

/** Counts levels before the text is parsed, since parsing creates an object for each level. */
function isNestedDeeper(text: string, most: number): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const mark = text.charCodeAt(at);
    if (mark === QUOTE) at = endOfString(text, at);
    else if (mark === OPEN_LIST || mark === OPEN_OBJECT) {
      if (++depth > most) return true;
    } else if (mark === CLOSE_LIST || mark === CLOSE_OBJECT) depth--;
  }
  return false;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  for (let mark = text.charCodeAt(at); at < text.length && mark !== QUOTE; mark = text.charCodeAt(at)) {
    at += mark === BACKSLASH ? 2 : 1;
  }
  return at;
}
