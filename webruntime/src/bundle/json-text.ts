/** JSON that nobody vouches for. */

import { shown } from "../brief.ts";
import { BundleError } from "../errors.ts";

/** Nothing in a bundle is nested deeper, and what is must not exhaust the stack of whoever walks through it. */
const MAX_NESTED = 200;

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [...'"\\[]{}'].map((mark) =>
  mark.charCodeAt(0),
);

/** Throws BundleError for bytes that are not UTF-8. */
export function decodeText(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BundleError(`${file} is not text in UTF-8. Export the bundle again.`, file);
  }
}

/** @param folder where the file lies, for the error: a BundleError where the text is no JSON, or nested too deep */
export function parseJson(text: string, file: string, folder: string): unknown {
  if (isNestedDeeper(text, MAX_NESTED)) {
    throw new BundleError(
      `${file} is nested deeper than ${MAX_NESTED} levels, which no file of gemtab's is. Export the bundle again.`,
      file,
    );
  }
  try {
    return JSON.parse(text);
  } catch {
    const found = /^\s*</.test(text) ? "The host answers with a web page, as many do for what they lack. " : "";
    throw new BundleError(
      `${file} at ${folder} is not JSON. ${found}Is this the address of a bundle's folder, and was all of it uploaded?`,
      file,
    );
  }
}

/** What is to be an object, of `file`. Throws BundleError where it is none. */
export function objectIn(found: unknown, file: string): Record<string, unknown> {
  if (typeof found === "object" && found !== null && !Array.isArray(found)) return found as Record<string, unknown>;
  throw new BundleError(`${file} holds ${shown(found)}, not an object. Export the bundle again.`, file);
}

/** Before the text is parsed: that makes an object of each level. */
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
