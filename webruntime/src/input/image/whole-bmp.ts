/** Checks whether a BMP has all its rows. */

/** The compressions of 8 and of 4 bits a pixel. */
const [RLE8, RLE4] = [1, 2];

/** Whether a BMP is complete. */
export function isWholeBmp(bytes: Uint8Array<ArrayBuffer>): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isOldest = view.getUint32(14, true) === 12;
  const width = isOldest ? view.getUint16(18, true) : view.getInt32(18, true);
  const height = Math.abs(isOldest ? view.getUint16(20, true) : view.getInt32(22, true));
  const bits = view.getUint16(isOldest ? 24 : 28, true);
  const compression = isOldest ? 0 : view.getUint32(30, true);
  const start = view.getUint32(10, true);
  if (compression === RLE8 || compression === RLE4) return runs(bytes.subarray(start), width, compression) >= height;
  const row = Math.ceil((width * bits) / 8);
  const stride = Math.ceil(row / 4) * 4;
  return start + stride * (height - 1) + row <= bytes.length;
}

/** Return the number of rows that the runs fill. A mark of the end counts as all rows. */
function runs(codes: Uint8Array, width: number, compression: number): number {
  let [at, x, y] = [0, 0, 0];
  const advance = (pixels: number) => {
    x += pixels;
    y += Math.floor(x / width);
    x %= width;
  };
  while (at + 1 < codes.length) {
    const [count, value] = [codes[at] as number, codes[at + 1] as number];
    at += 2;
    if (count > 0) advance(count);
    else if (value === 0) [x, y] = [0, x === 0 && y > 0 ? y : y + 1];
    else if (value === 1) return Number.POSITIVE_INFINITY;
    else if (value === 2) {
      x += codes[at] ?? 0;
      y += codes[at + 1] ?? 0;
      at += 2;
    } else {
      const length = compression === RLE4 ? Math.ceil(value / 2) : value;
      at += length + (length & 1);
      if (at <= codes.length + 1) advance(value);
    }
  }
  return y;
}
