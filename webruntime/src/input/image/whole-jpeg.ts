/** Whether a JPEG goes on to the end of its image. */

const [START_OF_SCAN, END_OF_IMAGE] = [0xda, 0xd9];

/** Frames whose rows come once, from top to bottom. */
const SEQUENTIAL = [0xc0, 0xc1];

/** Frames of all kinds: SOF0 to SOF15 but DHT, JPG and DAC, which share the range. */
const isFrame = (marker: number) => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);

const END = Uint8Array.of(0xff, END_OF_IMAGE);

/** Coded bytes that nothing is in, as long as a file can lack and be noticed. */
const FILLING = Uint8Array.from({ length: 1 << 12 }, (_, index) => [0x5a, 0xc3, 0x36, 0x99][index % 4] as number);

interface Walked {
  isEnded: boolean;
  /** Whether the last scan gives whole rows as it goes on. */
  isSequential: boolean;
}

/**
 * As Pillow has it: a file without its end mark is whole where all rows are there. That is found by decoding: where
 * nothing is missing, coded bytes behind the end change nothing.
 */
export async function isWholeJpeg(
  bytes: Uint8Array<ArrayBuffer>,
  decode: (content: Uint8Array<ArrayBuffer>) => Promise<{ data: Uint8Array }>,
): Promise<boolean> {
  const { isEnded, isSequential } = walk(bytes);
  if (isEnded || !isSequential) return isEnded;
  const [one, other] = [await decode(joined(bytes, END)), await decode(joined(bytes, FILLING, END))];
  return one.data.every((value, at) => value === other.data[at]);
}

/** Goes from marker to marker, over the coded bytes of scans. */
function walk(bytes: Uint8Array): Walked {
  const found = { isEnded: false, isSequential: false };
  let isBaseline = false;
  for (let at = nextMarker(bytes, 2); at >= 0; at = nextMarker(bytes, at)) {
    const marker = bytes[at + 1] as number;
    if (marker === END_OF_IMAGE) return { ...found, isEnded: true };
    if (isFrame(marker)) isBaseline = SEQUENTIAL.includes(marker);
    found.isSequential = marker === START_OF_SCAN && isBaseline;
    at += 2 + (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
  }
  return found;
}

/** Where the next marker is that a segment follows, or the end: neither a stuffed byte, nor a restart. */
function nextMarker(bytes: Uint8Array, start: number): number {
  for (let at = bytes.indexOf(0xff, start); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1)) {
    const marker = bytes[at + 1] as number;
    if (marker !== 0 && marker !== 0xff && !(marker >= 0xd0 && marker <= 0xd7)) return at;
  }
  return -1;
}

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
