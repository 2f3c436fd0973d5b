/**
 * Splits Ogg files into the recordings that follow one another. Each has its own headers. Mirrors gemtab/media/ogg.py.
 * Converts FLAC in Ogg, which mediabunny does not read, to FLAC.
 */

import { joinPieces, type Piece } from "./bytes.ts";

const HEADER = 27;
const CHECKSUM_AT = 22;

/** Flags of a page: its first packet began in the page before; the page is the first of a stream. */
const CONTINUED = 1;
const BEGINS = 2;

/** The flag of the last page of a stream. */
const ENDS = 4;

interface Page {
  start: number;
  end: number;
  flags: number;
  /** For Vorbis: the number of samples up to the page's end. */
  position: bigint;
  stream: number;
  /** The lengths of the packets' segments. A segment of less than 255 bytes ends a packet. */
  segments: Uint8Array<ArrayBuffer>;
}

/** A recording: `blob` is FLAC or Ogg. `codec` names the codec where no stream is supported. */
export interface OggLink {
  blob: Blob;
  kind: "FLAC" | "OGG";
  codec?: string;
  /** The number of Vorbis samples, where an end mark states it. */
  samples?: number;
}

/** The first characters of a stream's first packet, by codec. */
const CODECS: Record<string, string> = {
  "\x7fFLAC": "FLAC",
  "\x01vorb": "Vorbis",
  OpusH: "Opus",
  Speex: "Speex",
  CELT: "CELT",
  "\x80theo": "Theora",
};

/**
 * Return the recordings in `bytes`, each with only its complete pages. A recording ends where the file ends or the next
 * begins: an end mark is not needed. Bytes between pages and after the last are removed.
 */
export function oggLinks(bytes: Uint8Array<ArrayBuffer>): OggLink[] {
  const links: Page[][] = [];
  let before = BEGINS;
  for (const page of readPages(bytes)) {
    // The first pages of parallel streams stand together.
    if (links.length === 0 || (page.flags & BEGINS && !(before & BEGINS))) links.push([]);
    links.at(-1)?.push(page);
    before = page.flags;
  }
  return links.map((pages) => makeLink(bytes, pages));
}

function makeLink(bytes: Uint8Array<ArrayBuffer>, pages: readonly Page[]): OggLink {
  const streams = pages.filter(({ flags }) => flags & BEGINS).map((page) => ({ page, codec: codecOf(bytes, page) }));
  const first = streams.find(({ codec }) => ["FLAC", "Vorbis", "Opus"].includes(codec));
  if (first?.codec === "FLAC") {
    return {
      blob: plainFlac(
        bytes,
        pages.filter(({ stream }) => stream === first.page.stream),
      ),
      kind: "FLAC",
    };
  }
  const link: OggLink = {
    blob: joinPieces(
      bytes,
      pages.map(({ start, end }) => [start, end]),
    ),
    kind: "OGG",
  };
  const last = pages.at(-1);
  if (first?.codec === "Vorbis" && streams.length === 1 && last?.position && last.flags & ENDS) {
    return { ...link, samples: Number(last.position) };
  }
  const audio = streams.find(({ codec }) => codec !== "Theora");
  return first || !audio ? link : { ...link, codec: audio.codec };
}

function codecOf(bytes: Uint8Array, page: Page): string {
  const start = page.start + HEADER + page.segments.length;
  const name = String.fromCharCode(...bytes.subarray(start, start + 5));
  return Object.entries(CODECS).find(([prefix]) => name.startsWith(prefix))?.[1] ?? "an unknown codec";
}

/**
 * Return the packets of a stream as a FLAC file: the first has "fLaC" and the stream's properties, the last ones are
 * frames.
 */
function plainFlac(bytes: Uint8Array<ArrayBuffer>, pages: readonly Page[]): Blob {
  const [first, ...others] = packets(bytes, pages);
  if (!first) return new Blob();
  const head = first.slice(9);
  if (head.length > 4) head[4] = (head[4] ?? 0) | 0x80; // no other properties follow
  return new Blob([head, ...others.filter(([byte]) => byte === 0xff)]);
}

function packets(bytes: Uint8Array<ArrayBuffer>, pages: readonly Page[]): Uint8Array<ArrayBuffer>[] {
  const whole: Uint8Array<ArrayBuffer>[] = [];
  let pieces: Piece[] = [];
  for (const { start, segments, flags } of pages) {
    if (!(flags & CONTINUED)) pieces = [];
    let at = start + HEADER + segments.length;
    for (const length of segments) {
      pieces.push([at, at + length]);
      at += length;
      if (length === 255) continue;
      whole.push(concatenate(bytes, pieces));
      pieces = [];
    }
  }
  return whole;
}

function concatenate(bytes: Uint8Array<ArrayBuffer>, pieces: readonly Piece[]): Uint8Array<ArrayBuffer> {
  const [first, last] = [pieces[0], pieces.at(-1)];
  if (!first || !last) return new Uint8Array();
  const length = pieces.reduce((sum, [start, end]) => sum + end - start, 0);
  if (last[1] - first[0] === length) return bytes.subarray(first[0], last[1]);
  const packet = new Uint8Array(length);
  let at = 0;
  for (const [start, end] of pieces) {
    packet.set(bytes.subarray(start, end), at);
    at += end - start;
  }
  return packet;
}

function* readPages(bytes: Uint8Array<ArrayBuffer>): Generator<Page> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let start = findPage(bytes, 0); start >= 0 && start + HEADER <= bytes.length; ) {
    const body = start + HEADER + view.getUint8(start + 26);
    const segments = bytes.subarray(start + HEADER, body);
    const end = segments.reduce((sum, length) => sum + length, body);
    if (end > bytes.length) return;
    const page = bytes.subarray(start, end);
    if (!isUndamaged(page, view.getUint32(start + CHECKSUM_AT, true))) {
      start = findPage(bytes, start + 4);
      continue;
    }
    const [flags, position] = [view.getUint8(start + 5), view.getBigUint64(start + 6, true)];
    yield { start, end, flags, position, stream: view.getUint32(start + 14, true), segments };
    start = findPage(bytes, end);
  }
}

/**
 * Whether the checksum of a page, computed with zeros instead of the checksum, is `expected`. ffmpeg skips other pages
 * too.
 */
function isUndamaged(page: Uint8Array, expected: number): boolean {
  let check = 0;
  for (let at = 0; at < page.length; at++) {
    const byte = at >= CHECKSUM_AT && at < CHECKSUM_AT + 4 ? 0 : (page[at] ?? 0);
    check = ((check << 8) ^ (TABLE[(check >>> 24) ^ byte] ?? 0)) >>> 0;
  }
  return check === expected;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let i = 0; i < 8; i++) value = (value << 1) ^ (value < 0 ? 0x04c11db7 : 0);
  return value;
});

/** Return the position of the next "OggS", or -1. */
function findPage(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0x4f, from); at >= 0; at = bytes.indexOf(0x4f, at + 1)) {
    if (bytes[at + 1] === 0x67 && bytes[at + 2] === 0x67 && bytes[at + 3] === 0x53) return at;
  }
  return -1;
}
