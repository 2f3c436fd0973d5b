/** The table of contents that stands in the first frame of most MP3 files. */

/** What an MP3 file says about itself. */
export interface Mp3Table {
  /** Bytes of the file up to the end of its sound; undefined where that is not said. */
  bytes: number | undefined;
  /** Samples that the encoder and the decoder have put before the sound. */
  delay: number;
  /** Samples of the sound; undefined where that is not said. */
  samples: number | undefined;
}

/** Where the table stands in the frame, by version bits (3: MPEG-1) and whether it is mono. */
const OFFSETS: Record<string, number> = { "3": 36, "3 mono": 21, "2": 21, "2 mono": 13, "0": 21, "0 mono": 13 };

/** Bytes from the table's name to the delay and the padding, 12 bits each, and how far the encoder's name is. */
const DELAY_AT = 141;
const ENCODER_AT = 120;

/** Encoders that write them. */
const ENCODERS = ["LAME", "Lavf", "Lavc"];

/** Samples by which any MP3 decoder is late. */
const DECODER_DELAY = 529;

const HAS_FRAMES = 1;
const HAS_BYTES = 2;

/** The table of the MP3 in `blob`, undefined where it has none or is of another kind. */
export async function readMp3Table(blob: Blob): Promise<Mp3Table | undefined> {
  const start = await endOfTags(blob);
  const view = await read(blob, start, 256);
  if (view.byteLength < 160 || (view.getUint16(0) & 0xffe0) !== 0xffe0) return undefined;
  const version = (view.getUint8(1) >> 3) & 3;
  const at = OFFSETS[`${version}${view.getUint8(3) >> 6 === 3 ? " mono" : ""}`];
  if (at === undefined || !["Xing", "Info"].includes(text(view, at))) return undefined;
  const flags = view.getUint32(at + 4);
  const known = (flags & (HAS_FRAMES | HAS_BYTES)) === (HAS_FRAMES | HAS_BYTES);
  const counted = view.byteLength > at + DELAY_AT + 4 && ENCODERS.includes(text(view, at + ENCODER_AT));
  const pads = counted ? view.getUint32(at + DELAY_AT) >>> 8 : 0;
  const length = view.getUint32(at + 8) * (version === 3 ? 1152 : 576) - (pads >> 12) - (pads & 0xfff);
  return {
    bytes: known ? start + view.getUint32(at + 12) : undefined,
    delay: counted ? (pads >> 12) + DECODER_DELAY : 0,
    samples: counted && flags & HAS_FRAMES ? length : undefined,
  };
}

/** Where the ID3 tags at the beginning of a file end. */
async function endOfTags(blob: Blob): Promise<number> {
  let start = 0;
  for (;;) {
    const view = await read(blob, start, 10);
    if (view.byteLength < 10 || text(view, 0).slice(0, 3) !== "ID3") return start;
    start += 10 + [6, 7, 8, 9].reduce((size, at) => (size << 7) | (view.getUint8(at) & 0x7f), 0);
  }
}

/** `length` bytes of `blob` from `start` on, fewer where it ends. */
export async function read(blob: Blob, start: number, length: number): Promise<DataView> {
  return new DataView(await blob.slice(start, start + length).arrayBuffer());
}

/** Four bytes as text. */
export function text(view: DataView, at: number): string {
  if (view.byteLength < at + 4) return "";
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
}
