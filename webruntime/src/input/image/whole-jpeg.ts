/** Checks whether a JPEG has its end mark. Pillow rejects a JPEG without it. */

const END_OF_IMAGE = 0xd9;

/** Whether a JPEG is complete. Follows the markers over the coded bytes of scans. More bytes may follow the end. */
export function isWholeJpeg(bytes: Uint8Array): boolean {
  for (let at = nextMarker(bytes, 2); at >= 0; at = nextMarker(bytes, at)) {
    if (bytes[at + 1] === END_OF_IMAGE) return true;
    at += 2 + (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
  }
  return false;
}

/**
 * Return the position of the next marker that begins a segment, or of the end mark: neither a stuffed byte nor a
 * restart.
 */
function nextMarker(bytes: Uint8Array, start: number): number {
  for (let at = bytes.indexOf(0xff, start); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1)) {
    const marker = bytes[at + 1] as number;
    if (marker !== 0 && marker !== 0xff && !(marker >= 0xd0 && marker <= 0xd7)) return at;
  }
  return -1;
}
