/** Checks whether a PNG has all its pixels: the compressed data must inflate to the bytes of all rows. */

import { pngChunks, scanlinesLength } from "./png.ts";

/** The compressed bytes of a piece that is inflated at once. */
const PIECE = 1 << 14;

/** Whether a PNG is complete. */
export async function isWholePng(bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const pieces = [...pngChunks(bytes)].filter(({ name }) => name === "IDAT").flatMap(({ content }) => cut(content));
  const length = scanlinesLength(bytes);
  const { inflated, failed } = await inflatedLength(pieces, length);
  if (inflated >= length || failed === undefined) return inflated >= length;
  // An error in a piece, such as bytes after the end, discards the output of the whole piece.
  const single = Array.from(pieces[failed] as Uint8Array<ArrayBuffer>, (byte) => Uint8Array.of(byte));
  return (await inflatedLength([...pieces.slice(0, failed), ...single], length)).inflated >= length;
}

function cut(content: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const count = Math.ceil(content.length / PIECE);
  return Array.from({ length: count }, (_, index) => content.subarray(index * PIECE, (index + 1) * PIECE));
}

/**
 * Return the number of bytes that the pieces inflate to, at most `enough`, and the index of the piece that cannot be
 * inflated.
 */
async function inflatedLength(
  pieces: readonly Uint8Array<ArrayBuffer>[],
  enough: number,
): Promise<{ inflated: number; failed?: number }> {
  const { readable, writable } = new DecompressionStream("deflate");
  const [writer, reader] = [writable.getWriter(), readable.getReader()];
  let inflated = 0;
  const counted = (async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) inflated += part.value.length;
  })().catch(() => undefined);
  let failed: number | undefined;
  for (let index = 0; index < pieces.length && inflated < enough && failed === undefined; index++) {
    await writer.write(pieces[index] as Uint8Array<ArrayBuffer>).catch(() => {
      failed = index;
    });
  }
  // A truncated stream ends with an error, after all bytes before have been read.
  if (failed === undefined) await drained(writer);
  await reader.cancel().catch(() => undefined);
  await counted;
  return failed === undefined ? { inflated } : { inflated, failed };
}

/** Resolve when all written data has been read. */
async function drained(writer: WritableStreamDefaultWriter): Promise<void> {
  await writer.ready.catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve));
}
