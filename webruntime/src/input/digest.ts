/** What tells contents apart. */

/** A file is hashed in pieces of this size, so that it is never in memory as a whole. */
const PIECE = 16 << 20;

/** A digest of a file's bytes, by SHA-256 of the SHA-256 of its pieces; hexadecimal. */
export async function digestBlob(blob: Blob): Promise<string> {
  const digests: Uint8Array[] = [];
  for (let start = 0; start < blob.size; start += PIECE) {
    digests.push(await sha256(await blob.slice(start, start + PIECE).arrayBuffer()));
  }
  return hex(await sha256(await new Blob(digests as BlobPart[]).arrayBuffer()));
}

async function sha256(bytes: ArrayBuffer): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
