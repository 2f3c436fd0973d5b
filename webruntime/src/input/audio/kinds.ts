/** Audio formats that are not supported, by their first bytes. */

import { MediaError } from "../../errors.ts";
import { read } from "./bytes.ts";

/** The name of each, and its first bytes; some have more at offset 8. A dot matches any byte. */
const KINDS: readonly (readonly [name: string, start: string])[] = [
  ["an AIFF file", "FORM....AIFF"],
  ["an AIFF file", "FORM....AIFC"],
  ["an AU file", ".snd"],
  ["a CAF file", "caff"],
  ["a WMA or another Windows Media file", "\x30\x26\xb2\x75\x8e\x66\xcf\x11"],
  ["an AMR file", "#!AMR"],
  ["a big-endian WAV file", "RIFX"],
  ["a Wave64 file", "riff"],
  ["an AVI file", "RIFF....AVI "],
  ["a Monkey's Audio file", "MAC "],
  ["a WavPack file", "wvpk"],
  ["a True Audio file", "TTA"],
  ["a Musepack file", "MPCK"],
  ["a Musepack file", "MP+"],
  ["an AC-3 file", "\x0b\x77"],
  ["a DTS file", "\x7f\xfe\x80\x01"],
  ["an AAC file with an ADIF header", "ADIF"],
  ["a DSD file", "DSD "],
  ["a DSD file", "FRM8"],
  ["a VOC file", "Creative Voice File"],
  ["a SPHERE file", "NIST_1A"],
  ["an FLV file", "FLV"],
  ["a RealMedia file", ".RMF"],
  ["an MPEG program stream", "\0\0\x01\xba"],
  ["a MIDI file, which holds notes and no audio", "MThd"],
];

/** The first bytes of these formats. Some of the formats can hold video too. */
export const UNREAD_AUDIO = KINDS.map(([, start]) => start);

/** The sync byte and the length of a packet of an MPEG transport stream. */
const [TRANSPORT_SYNC, TRANSPORT_PACKET] = [0x47, 188];

/** Reject unsupported formats. Throws MediaError with the name of the format. */
export async function rejectKinds(blob: Blob, name: string): Promise<void> {
  const head = await read(blob, 0, TRANSPORT_PACKET + 1);
  const bytes = Array.from({ length: Math.min(24, head.byteLength) }, (_, at) => head.getUint8(at));
  const found = KINDS.find(([, start]) => [...start].every((each, at) => matches(each, at, bytes)))?.[0];
  const kind = found ?? (isTransportStream(head) ? "an MPEG transport stream" : undefined);
  if (kind === undefined) return;
  throw new MediaError(
    `${name} is ${kind}, which is not supported. Convert it to WAV, MP3, FLAC or Opus, and choose that file.`,
  );
}

function matches(expected: string, at: number, bytes: readonly number[]): boolean {
  return bytes[at] === expected.charCodeAt(0) || (expected === "." && at > 3 && at < 8);
}

function isTransportStream(head: DataView): boolean {
  if (head.byteLength <= TRANSPORT_PACKET) return false;
  return head.getUint8(0) === TRANSPORT_SYNC && head.getUint8(TRANSPORT_PACKET) === TRANSPORT_SYNC;
}
