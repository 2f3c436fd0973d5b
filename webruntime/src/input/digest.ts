/** Identifies contents by digests. */

/** The bytes of a piece. A file is hashed piece by piece, so that it is never in memory as a whole. */
const PIECE = 16 << 20;

/** Return the digest of a file, hexadecimal: the SHA-256 of the SHA-256 digests of its pieces. */
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
