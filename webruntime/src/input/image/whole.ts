/**
 * Checks whether an image file is complete. Some browsers show the beginning of a truncated file without an error. A
 * file that Pillow reads counts as complete: bytes may follow its end, and a PNG may have no end mark.
 */

import { isWholeBmp } from "./whole-bmp.ts";
import { isWholeJpeg } from "./whole-jpeg.ts";
import { isWholePng } from "./whole-png.ts";

/** Whether an image is complete. True also for formats whose decoders are strict. */
export async function isWhole(bytes: Uint8Array<ArrayBuffer>, type: string): Promise<boolean> {
  if (type === "image/png") return isWholePng(bytes);
  if (type === "image/bmp") return isWholeBmp(bytes);
  return type !== "image/jpeg" || isWholeJpeg(bytes);
}
