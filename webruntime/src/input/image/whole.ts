/**
 * Whether all of an image is in its file. Some browsers show what there is of a file that was cut off, and say nothing.
 * What Pillow reads is whole here too: files may go on behind their end, and PNGs lack its mark.
 */

import { isWholeBmp } from "./whole-bmp.ts";
import { isWholeJpeg } from "./whole-jpeg.ts";
import { isWholePng } from "./whole-png.ts";

/** True also for kinds whose decoders are strict. */
export async function isWhole(bytes: Uint8Array<ArrayBuffer>, type: string): Promise<boolean> {
  if (type === "image/png") return isWholePng(bytes);
  if (type === "image/bmp") return isWholeBmp(bytes);
  return type !== "image/jpeg" || isWholeJpeg(bytes);
}
