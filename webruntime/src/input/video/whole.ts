/**
 * Checks whether a video file is complete. Decoders read a truncated file up to its end without an error. Mirrors
 * gemtab/media/whole_file.py.
 */

/** The first elements of Matroska and WebM: a header, and the element that holds everything else. */
const EBML = 0x1a45dfa3;
const SEGMENT = 0x18538067;
const FTYP = 0x66747970;

/** Return false where an MP4, MOV, Matroska or WebM file states that more should follow. */
export async function isWholeVideo(blob: Blob): Promise<boolean> {
  const head = await read(blob, 0, 8);
  if (head.byteLength < 8) return true;
  if (head.getUint32(0) === EBML) return isWholeMatroska(blob);
  return head.getUint32(4) !== FTYP || hasWholeBoxes(blob);
}

/**
 * Whether the boxes of an MP4 fill the file. A length of 0 means "to the end". A length of 1 means that the length
 * follows the name.
 */
async function hasWholeBoxes(blob: Blob): Promise<boolean> {
  let start = 0;
  while (start < blob.size) {
    const head = await read(blob, start, 16);
    if (head.byteLength < 8) return false;
    let length = head.getUint32(0);
    if (length === 0) return true;
    if (length === 1) length = head.byteLength < 16 ? 0 : Number(head.getBigUint64(8));
    if (length < 8) return false;
    start += length;
  }
  return start === blob.size;
}

async function isWholeMatroska(blob: Blob): Promise<boolean> {
  const header = await readNumber(blob, 4);
  const segment = header.end + (header.value ?? 0);
  const id = await read(blob, segment, 4);
  if (id.byteLength < 4 || id.getUint32(0) !== SEGMENT) return false;
  const { end, value } = await readNumber(blob, segment + 4);
  return value === undefined || end + value <= blob.size;
}

/**
 * Return the end and the value of the variable-length number at `at`. The value is undefined where it is "unknown" (all
 * ones).
 */
async function readNumber(blob: Blob, at: number): Promise<{ end: number; value: number | undefined }> {
  const bytes = new Uint8Array(await blob.slice(at, at + 8).arrayBuffer());
  const width = bytes[0] ? Math.clz32(bytes[0]) - 23 : 1;
  const ones = (1n << BigInt(7 * width)) - 1n;
  const value = bytes.subarray(0, width).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n) & ones;
  return { end: at + width, value: value === ones ? undefined : Number(value) };
}

async function read(blob: Blob, at: number, length: number): Promise<DataView> {
  return new DataView(await blob.slice(at, at + length).arrayBuffer());
}
