/**
 * Whether all bytes of a sound file are there. Mirrors gemtab/media/whole.py: decoders play what there is of a file
 * that was cut off, and say nothing.
 */

import { type Mp3Table, read, text } from "./mp3.ts";

/** Sizes in WAVE files that were written before their length was known. */
const STREAMED = [0, 0xffffffff];

/** The most bytes of a page of an Ogg file: a header, 255 lengths and what they say. */
const OGG_PAGE = 27 + 255 + 255 * 255;

/** Flag of the last page of an Ogg file. */
const END_OF_STREAM = 4;

/** False where a file says itself that more should follow; `table`: what it says if it is an MP3. */
export async function isWhole(blob: Blob, table: Mp3Table | undefined): Promise<boolean> {
  if (table?.bytes !== undefined && table.bytes > blob.size) return false;
  const head = await read(blob, 0, 8);
  switch (text(head, 0)) {
    case "RIFF":
      return head.byteLength === 8 && isWholeWave(head.getUint32(4, true), blob.size);
    case "OggS":
      return isWholeOgg(await read(blob, Math.max(0, blob.size - OGG_PAGE), OGG_PAGE));
    default:
      return true;
  }
}

function isWholeWave(declared: number, size: number): boolean {
  return STREAMED.includes(declared) || declared + 8 <= size;
}

/** The last page in the `end` of the file is complete and is marked as the last. */
function isWholeOgg(end: DataView): boolean {
  let page = end.byteLength - 4;
  while (page >= 0 && text(end, page) !== "OggS") page--;
  if (page < 0 || end.byteLength < page + 27 || !(end.getUint8(page + 5) & END_OF_STREAM)) return false;
  const count = end.getUint8(page + 26);
  if (end.byteLength < page + 27 + count) return false;
  let length = 27 + count;
  for (let i = 0; i < count; i++) length += end.getUint8(page + 27 + i);
  return end.byteLength >= page + length;
}
