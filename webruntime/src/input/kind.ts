/** What a file holds, by its first bytes: types come from names, and files without a known ending have none. */

import { UNREAD_SOUNDS } from "./audio/kinds.ts";
import { has } from "./image/bytes.ts";
import { imageType } from "./image/header.ts";
import { unreadFormat } from "./image/unread.ts";
import { hasSoundAlone } from "./video/decode.ts";
import { unreadKind } from "./video/kinds.ts";

export type Kind = "image" | "audio" | "video";

/** Bytes that tell all kinds, and those in which an Ogg names its streams. */
const HEAD = 4096;

/** Endings of names, for sounds whose beginning tells nothing. */
const SOUND_ENDINGS = /\.(mp3|aac|mp2|mpga)$/i;

/** Undefined where it is none that is known, whether it is read or not. */
export async function kindOfFile(file: File): Promise<Kind | undefined> {
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  if (has(head, 0, "OggS")) return new TextDecoder("latin1").decode(head).includes("\x80theora") ? "video" : "audio";
  const unread = unreadFormat(head);
  if (imageType(head) || (unread && unread !== "PDF")) return "image";
  if (isContainer(head)) return (await isSoundAlone(file)) ? "audio" : "video";
  if (await unreadKind(file)) return "video";
  return isSound(head) || SOUND_ENDINGS.test(file.name) ? "audio" : undefined;
}

/** MP4 and QuickTime by their first box, Matroska and WebM by their header. */
function isContainer(head: Uint8Array): boolean {
  const isMatroska = has(head, 0, "\x1a\x45\xdf\xa3");
  return (
    isMatroska || ["ftyp", "styp", "moov", "mdat", "moof", "wide", "skip", "free"].some((box) => has(head, 4, box))
  );
}

function isSound(head: Uint8Array): boolean {
  if (has(head, 0, "ID3") || has(head, 0, "fLaC") || UNREAD_SOUNDS.some((start) => begins(head, start))) return true;
  if (begins(head, "RIFF....WAVE") || begins(head, "RF64....WAVE")) return true;
  // A frame of MP3 or of bare AAC: eleven ones, a version and a layer, and a bit rate or rate that there is.
  const [first = 0, second = 0, third = 0] = head;
  return first === 0xff && (second & 0xe0) === 0xe0 && (second & 0x18) !== 0x08 && (third & 0xf0) !== 0xf0;
}

/** A dot stands for any byte, behind the first four. */
function begins(head: Uint8Array, start: string): boolean {
  return [...start].every((each, at) => head[at] === each.charCodeAt(0) || (each === "." && at > 3));
}

async function isSoundAlone(file: File): Promise<boolean> {
  try {
    return await hasSoundAlone(file);
  } catch {
    return false; // what is wrong with it is said when it is sent
  }
}
