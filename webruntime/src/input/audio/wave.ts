/**
 * Corrects the sizes in WAVE files: programs that stream leave placeholders in the header. Mirrors
 * gemtab/media/wave_file.py.
 */

import { MediaError } from "../../errors.ts";
import { WAVE_CHUNKS, WAVE_KINDS } from "../facts.gen.ts";
import { checkRate, checkSamples } from "../limits.ts";
import { read, text } from "./bytes.ts";

const EXTENSIBLE = 0xfffe;

/** A length that is stated elsewhere, in the chunk ds64, or not at all. */
const UNKNOWN = 0xffffffff;

const [PCM, FLOAT, A_LAW, MU_LAW] = [1, 3, 6, 7];

/** Formats in WAVE files that browsers do not decode. */
const CODECS: Record<number, string> = {
  2: "Microsoft ADPCM",
  17: "IMA ADPCM",
  49: "GSM 6.10",
  69: "G.726",
  80: "MP2",
  85: "MP3",
  255: "AAC",
  353: "Windows Media Audio",
  354: "Windows Media Audio",
  8192: "AC-3",
};

/** The chunks of format and samples. */
interface Chunks {
  format: DataView | undefined;
  data: { start: number; end: number } | undefined;
}

interface Format {
  tag: number;
  channels: number;
  rate: number;
  /** The bytes of a sample. */
  width: number;
}

/** Whether a file that begins with `head` is a little-endian WAVE file. */
export function isWave(head: DataView): boolean {
  return (WAVE_KINDS as readonly string[]).includes(text(head, 0)) && text(head, 8) === "WAVE";
}

/**
 * Return the WAVE file with only its format and its data, with true sizes, or `blob` itself where one is missing. Data
 * with a stated length of 0, or longer than the file, extend to the end of the file, as players read them. Throws
 * MediaError for data that are not samples.
 */
export async function cleanWave(blob: Blob, name: string): Promise<Blob> {
  const { format, data } = await findChunks(blob);
  if (!format || format.byteLength < 14 || !data) return blob;
  const { tag, channels, rate, width } = readFormat(format, name);
  const block = channels * width;
  checkRate(rate, name);
  if (block === 0) return blob;
  checkSamples(Math.floor((data.end - data.start) / block), rate, name);
  const length = data.end - data.start - ((data.end - data.start) % block);
  const head = new DataView(new ArrayBuffer(44));
  const bytes = new TextEncoder();
  new Uint8Array(head.buffer).set(bytes.encode("RIFF    WAVEfmt                     data"));
  for (const [at, value] of [
    [4, length + 36],
    [16, 16],
    [24, rate],
    [28, rate * block],
    [40, length],
  ] as const) {
    head.setUint32(at, Math.min(value, UNKNOWN), true);
  }
  for (const [at, value] of [
    [20, tag],
    [22, channels],
    [32, block],
    [34, 8 * width],
  ] as const) {
    head.setUint16(at, value, true);
  }
  return new Blob([head, blob.slice(data.start, data.start + length)]);
}

async function findChunks(blob: Blob): Promise<Chunks> {
  const found: Chunks = { format: undefined, data: undefined };
  let long = 0;
  for (let at = 12; at + 8 <= blob.size && !(found.format && found.data); ) {
    const head = await read(blob, at, 8);
    const [name, body] = [text(head, 0), at + 8];
    let size = head.getUint32(4, true);
    if (name === "ds64") long = await readLength(blob, body + 8);
    if (name === "fmt ") found.format = await read(blob, body, size);
    if (name === "data") {
      if (size === UNKNOWN) size = long;
      found.data = { start: body, end: size > 0 && size <= blob.size - body ? body + size : blob.size };
    }
    at = await nextChunk(blob, body, size);
  }
  return found;
}

async function readLength(blob: Blob, at: number): Promise<number> {
  const view = await read(blob, at, 8);
  return view.byteLength === 8 ? Number(view.getBigUint64(0, true)) : 0;
}

/**
 * Return the position of the chunk after one of `size` bytes. A padding byte follows an odd size, if the writer kept to
 * the rule.
 */
async function nextChunk(blob: Blob, body: number, size: number): Promise<number> {
  const end = body + size;
  return (WAVE_CHUNKS as readonly string[]).includes(text(await read(blob, end, 4), 0)) ? end : end + (size % 2);
}

/** Read the format without extensions. */
function readFormat(view: DataView, name: string): Format {
  let tag = view.getUint16(0, true);
  if (tag === EXTENSIBLE && view.byteLength >= 26) tag = view.getUint16(24, true);
  const companded = tag === A_LAW || tag === MU_LAW;
  const width = companded || view.byteLength < 16 ? 1 : Math.ceil(view.getUint16(14, true) / 8);
  const decodable = (tag === PCM && width <= 4) || (tag === FLOAT && (width === 4 || width === 8)) || companded;
  if (!decodable) {
    const codec = tag === PCM || tag === FLOAT ? `samples of ${8 * width} bits` : (CODECS[tag] ?? `format ${tag}`);
    throw new MediaError(
      `${name} is a WAV file with ${codec} in it, which is not supported. Convert it to WAV with 16-bit PCM, MP3, FLAC ` +
        "or Opus.",
    );
  }
  return { tag, channels: view.getUint16(2, true), rate: view.getUint32(4, true), width };
}
