/** Video formats that browsers do not read, by their first bytes. */

import { has } from "../image/bytes.ts";

const KINDS: readonly (readonly [name: string, ...parts: (readonly [offset: number, magic: string])[]])[] = [
  ["an AVI file", [0, "RIFF"], [8, "AVI "]],
  ["a Windows Media file", [0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11"]],
  ["a Flash video", [0, "FLV"]],
  ["an MPEG program stream", [0, "\0\0\x01\xba"]],
  ["an MPEG transport stream", [0, "\x47"], [188, "\x47"]],
  ["a RealMedia file", [0, ".RMF"]],
  ["an Ogg file", [0, "OggS"]],
  ["an animated GIF", [0, "GIF8"]],
];

/** The number of bytes that identify all of these formats. */
const HEAD = 189;

/** Return the name of the format with its article, or undefined for other formats. */
export async function unreadKind(blob: Blob): Promise<string | undefined> {
  const head = new Uint8Array(await blob.slice(0, HEAD).arrayBuffer());
  return KINDS.find(([, ...parts]) => parts.every(([offset, magic]) => has(head, offset, magic)))?.[0];
}
