/**
 * A sound file in parts that mediabunny reads to their end: with true sizes, and without what is no sound. Sizes and
 * lengths that a header declares are hints: what is there is read. Mirrors gemtab/media/audio_file.py.
 */

import { MediaError } from "../../errors.ts";
import { endOfTags, joinPieces, read, readAll, text } from "./bytes.ts";
import { cleanFlac } from "./flac.ts";
import { refuseKinds } from "./kinds.ts";
import { cleanMatroska, isMatroska } from "./matroska.ts";
import { type Mp3Table, readMp3Table } from "./mp3.ts";
import { hasFraunhoferTable, mpegFrames } from "./mpeg.ts";
import { oggLinks } from "./ogg.ts";
import { cleanWave, isWave } from "./wave.ts";

/** Kinds of files by mediabunny's names; "OTHER" are those that tell it their kind by themselves. */
export type Kind = "WAVE" | "MP3" | "ADTS" | "FLAC" | "OGG" | "MATROSKA" | "OTHER";

/** One recording of a file. */
export interface SoundPart {
  blob: Blob;
  kind: Kind;
  /** What an MP3 says about its samples. */
  table?: Mp3Table;
  /** How many samples there are, of Vorbis in Ogg, where that is known. */
  samples?: number;
  /** Seconds at the beginning and at the end that are no sound. */
  delay?: number;
  filling?: number;
}

/** Bytes in which the frames of an MP3 or of bare AAC can be recognized. */
const HEAD = 1 << 16;

/** What the first box of an MP4 or QuickTime file may be. */
const BOXES = ["ftyp", "styp", "moov", "mdat", "moof", "sidx", "emsg", "free", "skip", "wide", "pnot"];

/**
 * The recordings in `blob` that follow one another; one, but for chained Ogg. Throws MediaError for kinds of files that
 * are not read here.
 */
export async function soundParts(blob: Blob, name: string): Promise<SoundPart[]> {
  const tagged = await endOfTags(blob);
  const file = tagged ? blob.slice(tagged) : blob;
  const head = await read(file, 0, 12);
  if (isWave(head)) return [{ blob: await cleanWave(file, name), kind: "WAVE" }];
  if (text(head, 0) === "fLaC") return [{ blob: await cleanFlac(file), kind: "FLAC" }];
  if (text(head, 0) === "OggS") return oggParts(file, name);
  if (await isMatroska(file)) return [{ ...(await cleanMatroska(file)), kind: "MATROSKA" }];
  await refuseKinds(file, name);
  // Frames may stand in other kinds by chance, or as sound of their own.
  return [(await mpegPart(file, !isBoxes(head))) ?? { blob, kind: "OTHER" }];
}

/** Whether a file begins with a box of MP4 or QuickTime. */
function isBoxes(head: DataView): boolean {
  return BOXES.includes(text(head, 4));
}

async function oggParts(file: Blob, name: string): Promise<SoundPart[]> {
  const parts: SoundPart[] = [];
  for (const { blob, kind, codec, samples } of oggLinks(await readAll(file))) {
    if (codec !== undefined) {
      throw new MediaError(`${name} has sound in ${codec}, which is not read here. Save it as WAV, MP3, FLAC or Opus.`);
    }
    const part = { blob: kind === "FLAC" ? await cleanFlac(blob) : blob, kind };
    parts.push(samples === undefined ? part : { ...part, samples });
  }
  return parts;
}

async function mpegPart(file: Blob, searched: boolean): Promise<SoundPart | undefined> {
  if (!mpegFrames(await readAll(file.slice(0, HEAD)), searched)) return undefined;
  const bytes = await readAll(file);
  const stream = mpegFrames(bytes, searched);
  if (!stream) return undefined;
  const { kind, frames, missing } = stream;
  const [first] = frames;
  if (kind === "ADTS" || !first) return { blob: joinPieces(bytes, frames), kind };
  const sound = hasFraunhoferTable(bytes, first[0]) ? frames.slice(1) : frames;
  const blob = new Blob([joinPieces(bytes, sound), new Uint8Array(missing)]);
  const table = await readMp3Table(blob);
  return table ? { blob, kind, table } : { blob, kind };
}
