/** Imports modules of the built site, by the site's address. */

import type * as Element from "../../site/gemtab-chat.ts";
import type * as Api from "../../webruntime/src/api/index.ts";
import type * as Engine from "../../webruntime/src/engine/index.ts";

export const importApi = (site: string): Promise<typeof Api> => import(`${site}gemtab.js`);

export const importEngine = (site: string): Promise<typeof Engine> => import(`${site}gemtab-engine.js`);

export const importElement = (site: string): Promise<typeof Element> => import(`${site}gemtab-chat.js`);

/** Return the address of a bundle on the server. */
export const bundleAt = (site: string, bundle: string): string => `${site}bundles/${bundle}/`;

/** Return the page's element. */
export function theElement(): Element.GemtabChat {
  const found = document.querySelector("gemtab-chat");
  if (!found) throw new Error("The page has no gemtab-chat.");
  return found;
}

export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Decode base64 from Python. */
export const bytesOf = (base64: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** Encode bytes for Python as base64. */
export function base64Of(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}
