/** Image formats that are recognized, but not supported. Mirrors gemtab/media/unread.py. */

import { has } from "./bytes.ts";

const UNREAD: readonly [offset: number, magic: string, name: string][] = [
  [0, "II*\0", "TIFF"],
  [0, "MM\0*", "TIFF"],
  [0, "II+\0", "TIFF"],
  [0, "MM\0+", "TIFF"],
  [4, "ftyphei", "HEIC"],
  [4, "ftyphev", "HEIC"],
  [4, "ftypmif1", "HEIF"],
  [4, "ftypmsf1", "HEIF"],
  [0, "\xff\x0a", "JPEG XL"],
  [4, "JXL ", "JPEG XL"],
  [4, "jP  ", "JPEG 2000"],
  [0, "\xff\x4f\xff\x51", "JPEG 2000"],
  [0, "\0\0\x01\0", "ICO"],
  [0, "8BPS", "Photoshop"],
  [0, "%PDF-", "PDF"],
  [0, "<svg", "SVG"],
  [0, "<?xml", "XML, such as SVG"],
];

/** Return the name of the format by its first bytes, or undefined for other formats. */
export function unreadFormat(bytes: Uint8Array): string | undefined {
  return UNREAD.find(([offset, magic]) => has(bytes, offset, magic))?.[2];
}
