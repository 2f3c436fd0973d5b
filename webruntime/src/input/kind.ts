/**
 * Detects the kind of a file from its first bytes: types come from names, and files without a known ending have no
 * type.
 */

import { UNREAD_AUDIO } from "./audio/kinds.ts";
import { has } from "./image/bytes.ts";
import { imageType } from "./image/header.ts";
import { unreadFormat } from "./image/unread.ts";
import { hasAudioAlone } from "./video/decode.ts";
import { unreadKind } from "./video/kinds.ts";

/** The kinds of media. */
export type Kind = "image" | "audio" | "video";

/** The number of bytes that identify every kind, and that contain the stream names of an Ogg file. */
const HEAD = 4096;

/** File name endings of audio whose first bytes do not identify it. */
const AUDIO_ENDINGS = /\.(mp3|aac|mp2|mpga)$/i;

/** Return the kind of a file, also of formats that are not supported, or undefined for an unknown one. */
export async function kindOfFile(file: File): Promise<Kind | undefined> {
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  if (has(head, 0, "OggS")) return new TextDecoder("latin1").decode(head).includes("\x80theora") ? "video" : "audio";
  const unread = unreadFormat(head);
  if (imageType(head) || (unread && unread !== "PDF")) return "image";
  if (isContainer(head)) return (await isAudioAlone(file)) ? "audio" : "video";
  if (await unreadKind(file)) return "video";
  return isAudio(head) || AUDIO_ENDINGS.test(file.name) ? "audio" : undefined;
}

/** Whether a file is MP4 or QuickTime, by its first box, or Matroska or WebM, by its header. */
function isContainer(head: Uint8Array): boolean {
  const isMatroska = has(head, 0, "\x1a\x45\xdf\xa3");
  return (
    isMatroska || ["ftyp", "styp", "moov", "mdat", "moof", "wide", "skip", "free"].some((box) => has(head, 4, box))
  );
}

function isAudio(head: Uint8Array): boolean {
  if (has(head, 0, "ID3") || has(head, 0, "fLaC") || UNREAD_AUDIO.some((start) => begins(head, start))) return true;
  if (begins(head, "RIFF....WAVE") || begins(head, "RF64....WAVE")) return true;
  // A frame of MP3 or of bare AAC: eleven ones, a version, a layer, and a valid bit rate or sample rate.
  const [first = 0, second = 0, third = 0] = head;
  return first === 0xff && (second & 0xe0) === 0xe0 && (second & 0x18) !== 0x08 && (third & 0xf0) !== 0xf0;
}

/** Whether a file begins with `start`. After the first four characters, a dot matches any byte. */
function begins(head: Uint8Array, start: string): boolean {
  return [...start].every((each, at) => head[at] === each.charCodeAt(0) || (each === "." && at > 3));
}

async function isAudioAlone(file: File): Promise<boolean> {
  try {
    return await hasAudioAlone(file);
  } catch {
    return false; // sending the file reports the error
  }
}
