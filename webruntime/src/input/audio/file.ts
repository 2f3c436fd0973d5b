/**
 * Splits an audio file into parts that mediabunny reads to their end, with true sizes and only audio. Sizes and lengths
 * in headers are hints: all data that is present is read. Mirrors gemtab/media/audio_file.py.
 */

import { MediaError } from "../../errors.ts";
import { endOfTags, joinPieces, read, readAll, text } from "./bytes.ts";
import { cleanFlac } from "./flac.ts";
import { rejectKinds } from "./kinds.ts";
import { cleanMatroska, isMatroska } from "./matroska.ts";
import { type Mp3Table, readMp3Table } from "./mp3.ts";
import { hasFraunhoferTable, mpegFrames } from "./mpeg.ts";
import { oggLinks } from "./ogg.ts";
import { cleanWave, isWave } from "./wave.ts";

/** Kinds of files by mediabunny's names. mediabunny identifies the kind of an "OTHER" file itself. */
export type Kind = "WAVE" | "MP3" | "ADTS" | "FLAC" | "OGG" | "MATROSKA" | "OTHER";

/** One recording of a file. */
export interface AudioFilePart {
  blob: Blob;
  kind: Kind;
  /** The table of contents of an MP3. */
  table?: Mp3Table;
  /** The number of samples of Vorbis in Ogg, where it is known. */
  samples?: number;
  /** Seconds at the beginning and at the end that are not part of the recording. */
  delay?: number;
  filling?: number;
}

/** The bytes in which frames of MP3 or of bare AAC can be recognized. */
const HEAD = 1 << 16;

/** Possible types of the first box of an MP4 or QuickTime file. */
const BOXES = ["ftyp", "styp", "moov", "mdat", "moof", "sidx", "emsg", "free", "skip", "wide", "pnot"];

/**
 * Return the recordings that follow one another in `blob`. Only chained Ogg has more than one. Throws MediaError for
 * formats that are not supported.
 */
export async function audioFileParts(blob: Blob, name: string): Promise<AudioFilePart[]> {
  const tagged = await endOfTags(blob);
  const file = tagged ? blob.slice(tagged) : blob;
  const head = await read(file, 0, 12);
  if (isWave(head)) return [{ blob: await cleanWave(file, name), kind: "WAVE" }];
  if (text(head, 0) === "fLaC") return [{ blob: await cleanFlac(file), kind: "FLAC" }];
  if (text(head, 0) === "OggS") return oggParts(file, name);
  if (await isMatroska(file)) return [{ ...(await cleanMatroska(file)), kind: "MATROSKA" }];
  await rejectKinds(file, name);
  // Other formats may contain MPEG frames, by chance or as their audio.
  return [(await mpegPart(file, !isBoxes(head))) ?? { blob, kind: "OTHER" }];
}

/** Whether a file begins with a box of MP4 or QuickTime. */
function isBoxes(head: DataView): boolean {
  return BOXES.includes(text(head, 4));
}

async function oggParts(file: Blob, name: string): Promise<AudioFilePart[]> {
  const parts: AudioFilePart[] = [];
  for (const { blob, kind, codec, samples } of oggLinks(await readAll(file))) {
    if (codec !== undefined) {
      throw new MediaError(`${name} has audio in ${codec}, which is not supported. Save it as WAV, MP3, FLAC or Opus.`);
    }
    const part = { blob: kind === "FLAC" ? await cleanFlac(blob) : blob, kind };
    parts.push(samples === undefined ? part : { ...part, samples });
  }
  return parts;
}

async function mpegPart(file: Blob, searched: boolean): Promise<AudioFilePart | undefined> {
  if (!mpegFrames(await readAll(file.slice(0, HEAD)), searched)) return undefined;
  const bytes = await readAll(file);
  const stream = mpegFrames(bytes, searched);
  if (!stream) return undefined;
  const { kind, frames, missing } = stream;
  const [first] = frames;
  if (kind === "ADTS" || !first) return { blob: joinPieces(bytes, frames), kind };
  const audio = hasFraunhoferTable(bytes, first[0]) ? frames.slice(1) : frames;
  const blob = new Blob([joinPieces(bytes, audio), new Uint8Array(missing)]);
  const table = await readMp3Table(blob);
  return table ? { blob, kind, table } : { blob, kind };
}
