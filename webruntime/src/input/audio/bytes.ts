/** Reads bytes of files for the readers of headers. */

/** Return `length` bytes of `blob` from `start`, or fewer where the blob ends. */
export async function read(blob: Blob, start: number, length: number): Promise<DataView<ArrayBuffer>> {
  return new DataView(await blob.slice(start, start + length).arrayBuffer());
}

/** Return all bytes of `blob` from `start`. */
export async function readAll(blob: Blob, start = 0): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await blob.slice(start).arrayBuffer());
}

/** Return four bytes as text, or "" where there are fewer. */
export function text(view: DataView, at: number): string {
  if (view.byteLength < at + 4) return "";
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
}

/** Return the end of the ID3 tags at the beginning of a file. */
export async function endOfTags(blob: Blob): Promise<number> {
  let start = 0;
  for (;;) {
    const view = await read(blob, start, 10);
    if (view.byteLength < 10 || text(view, 0).slice(0, 3) !== "ID3") return start;
    start += 10 + [6, 7, 8, 9].reduce((size, at) => (size << 7) | (view.getUint8(at) & 0x7f), 0);
  }
}

/** Return the joined pieces of `bytes` between `[start, end]` pairs. */
export function joinPieces(bytes: Uint8Array<ArrayBuffer>, pieces: readonly Piece[]): Blob {
  return new Blob(pieces.map(([start, end]) => bytes.subarray(start, end)));
}

/** The first byte of a piece, and the byte after its last. */
export type Piece = readonly [start: number, end: number];
