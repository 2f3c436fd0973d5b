/** Bytes of files, as the readers of headers want them. */

/** `length` bytes of `blob` from `start` on, fewer where it ends. */
export async function read(blob: Blob, start: number, length: number): Promise<DataView<ArrayBuffer>> {
  return new DataView(await blob.slice(start, start + length).arrayBuffer());
}

/** All bytes of `blob` from `start` on. */
export async function readAll(blob: Blob, start = 0): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await blob.slice(start).arrayBuffer());
}

/** Four bytes as text; empty where there are fewer. */
export function text(view: DataView, at: number): string {
  if (view.byteLength < at + 4) return "";
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
}

/** Where the ID3 tags at the beginning of a file end. */
export async function endOfTags(blob: Blob): Promise<number> {
  let start = 0;
  for (;;) {
    const view = await read(blob, start, 10);
    if (view.byteLength < 10 || text(view, 0).slice(0, 3) !== "ID3") return start;
    start += 10 + [6, 7, 8, 9].reduce((size, at) => (size << 7) | (view.getUint8(at) & 0x7f), 0);
  }
}

/** The pieces of `bytes` between `[start, end]` pairs, joined. */
export function joinPieces(bytes: Uint8Array<ArrayBuffer>, pieces: readonly Piece[]): Blob {
  return new Blob(pieces.map(([start, end]) => bytes.subarray(start, end)));
}

/** Where a piece begins and ends. */
export type Piece = readonly [start: number, end: number];
