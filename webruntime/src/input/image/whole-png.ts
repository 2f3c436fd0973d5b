/** Whether a PNG holds all its pixels: its compressed data inflate to as many bytes as its rows take. */

import { pngChunks, scanlinesLength } from "./png.ts";

/** Compressed bytes that are inflated at a time. */
const PIECE = 1 << 14;

export async function isWholePng(bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const pieces = [...pngChunks(bytes)].filter(({ name }) => name === "IDAT").flatMap(({ content }) => cut(content));
  const length = scanlinesLength(bytes);
  const { inflated, failed } = await inflatedLength(pieces, length);
  if (inflated >= length || failed === undefined) return inflated >= length;
  // What a piece gives is lost where an error is in it, such as bytes behind the end.
  const single = Array.from(pieces[failed] as Uint8Array<ArrayBuffer>, (byte) => Uint8Array.of(byte));
  return (await inflatedLength([...pieces.slice(0, failed), ...single], length)).inflated >= length;
}

function cut(content: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const count = Math.ceil(content.length / PIECE);
  return Array.from({ length: count }, (_, index) => content.subarray(index * PIECE, (index + 1) * PIECE));
}

/** How many bytes the pieces inflate to, as far as `enough`; and which piece cannot be inflated. */
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
  // At the end of a stream that was cut off is an error, which comes when all before has been read.
  if (failed === undefined) await drained(writer);
  await reader.cancel().catch(() => undefined);
  await counted;
  return failed === undefined ? { inflated } : { inflated, failed };
}

/** Resolves when what was written has been read. */
async function drained(writer: WritableStreamDefaultWriter): Promise<void> {
  await writer.ready.catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve));
}
