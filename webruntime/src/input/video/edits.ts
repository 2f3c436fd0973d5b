/**
 * Reads the edit list of an MP4 or MOV: which frames are shown, and when. Phones and editors cut a video without
 * encoding it again, and list the parts that are shown. FFmpeg and gemtab/media/video.py follow the list.
 */

/** A part of a track that is shown. All values are in ticks of the track. */
interface Part {
  /** The first tick that is shown, and the number of ticks. */
  start: number;
  length: number;
  /** The time when that tick is shown. */
  shownAt: number;
}

/** An edit list. */
export interface Edits {
  /** The ticks of a second. */
  timescale: number;
  /** The tick at which mediabunny's times begin. mediabunny knows only the first part. */
  origin: number;
  parts: Part[];
}

/** A frame that is shown. */
export interface Shown {
  /** The frame's time in mediabunny. */
  time: number;
  /** The time when the frame is shown, in seconds. */
  at: number;
}

interface Entry {
  duration: number;
  start: number;
}

/** Return the edit list of a track. Undefined where the track has none, or the file is not MP4 or MOV. */
export async function readEdits(blob: Blob, trackId: number): Promise<Edits | undefined> {
  const movie = await readMovie(blob);
  const track = movie && [...boxes(movie, "trak")].find((each) => idOf(each) === trackId);
  const [list] = track ? boxes(track, "edts", "elst") : [];
  const [movieHeader] = movie ? boxes(movie, "mvhd") : [];
  const [header] = track ? boxes(track, "mdia", "mdhd") : [];
  if (!movie || !list || !movieHeader || !header) return undefined;
  const isFragmented = !boxes(movie, "mvex").next().done;
  return editsOf(readEntries(list), afterDates(header), afterDates(movieHeader), isFragmented);
}

/** Return the shown frames among those with these times in mediabunny, in the order of showing. */
export function shownFrames(times: number[], edits: Edits | undefined): Shown[] {
  if (!edits) return times.map((time) => ({ time, at: time })).sort((one, other) => one.at - other.at);
  const { timescale, origin, parts } = edits;
  const ticks = times.map((time) => Math.round(time * timescale) + origin);
  const shown = parts.flatMap(({ start, length, shownAt }) =>
    times.flatMap((time, index): Shown[] => {
      const after = (ticks[index] as number) - start;
      return after >= 0 && after < length ? [{ time, at: (shownAt + after) / timescale }] : [];
    }),
  );
  return shown.sort((one, other) => one.at - other.at);
}

function editsOf(
  entries: Entry[],
  timescale: number,
  movieTimescale: number,
  isFragmented: boolean,
): Edits | undefined {
  const parts: Part[] = [];
  let shownAt = 0;
  for (const { duration, start } of entries) {
    const length = Math.round((duration * timescale) / movieTimescale);
    // A file that is written in fragments has no length when the list is written.
    const isOpen = duration === 0 && isFragmented;
    if (start >= 0) parts.push({ start, length: isOpen ? Number.POSITIVE_INFINITY : length, shownAt });
    shownAt += length;
  }
  const [first] = parts;
  return first && { timescale, origin: first.start - first.shownAt, parts };
}

/** Durations are in ticks of the movie, starts in ticks of the track; a start of -1 shows nothing. */
function readEntries(list: DataView): Entry[] {
  const isLong = list.getUint8(0) === 1;
  const size = isLong ? 20 : 12;
  return Array.from({ length: list.getUint32(4) }, (_, index) => {
    const at = 8 + index * size;
    if (!isLong) return { duration: list.getUint32(at), start: list.getInt32(at + 4) };
    return { duration: Number(list.getBigUint64(at)), start: Number(list.getBigInt64(at + 8)) };
  });
}

async function readMovie(blob: Blob): Promise<DataView | undefined> {
  for (let start = 0; start + 8 <= blob.size; ) {
    const head = new DataView(await blob.slice(start, start + 16).arrayBuffer());
    const { name, header, length } = boxAt(head, 0, blob.size - start);
    if (length < header) return undefined;
    if (name === "moov") return new DataView(await blob.slice(start + header, start + length).arrayBuffer());
    start += length;
  }
  return undefined;
}

/** Yield the contents of the boxes with these names, each inside the one before. */
function* boxes(view: DataView, name: string, ...inner: string[]): Generator<DataView> {
  for (let start = 0; start + 8 <= view.byteLength; ) {
    const { name: found, header, length } = boxAt(view, start, view.byteLength - start);
    if (length < header || start + length > view.byteLength) return;
    const body = new DataView(view.buffer, view.byteOffset + start + header, length - header);
    const [next, ...rest] = inner;
    if (found === name) yield* next === undefined ? [body] : boxes(body, next, ...rest);
    start += length;
  }
}

/** A length of 0 means "to the end". A length of 1 means that the length follows the name. */
function boxAt(view: DataView, start: number, most: number): { name: string; header: number; length: number } {
  const name = String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + start + 4, 4));
  const length = view.getUint32(start);
  if (length === 1 && start + 16 <= view.byteLength) {
    return { name, header: 16, length: Number(view.getBigUint64(start + 8)) };
  }
  return { name, header: 8, length: length === 0 ? most : length };
}

function idOf(track: DataView): number | undefined {
  const [header] = boxes(track, "tkhd");
  return header && afterDates(header);
}

/**
 * Return the number after the version and two dates, which are longer in version 1: a timescale, or the id of a track.
 */
function afterDates(header: DataView): number {
  return header.getUint32(header.getUint8(0) === 1 ? 20 : 12);
}
