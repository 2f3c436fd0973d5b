/** Matches text in the bytes of a file. */

/** Whether the characters of `text`, one byte each, are at `offset`. */
export function has(bytes: Uint8Array, offset: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[offset + i] !== text.charCodeAt(i)) return false;
  return true;
}
