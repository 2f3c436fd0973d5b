/**
 * Whether all of an image is in its file. Some browsers show what there is of a file that was cut off, and say nothing.
 * What Pillow reads is whole here too: a file may lack its end mark, or go on behind it.
 */

import { isWholeBmp } from "./whole-bmp.ts";
import { isWholeJpeg } from "./whole-jpeg.ts";
import { isWholePng } from "./whole-png.ts";

/** Decodes the bytes of a JPEG, as far as they go. */
type Decode = (content: Uint8Array<ArrayBuffer>) => Promise<{ data: Uint8Array }>;

/** True also for kinds whose decoders are strict. */
export async function isWhole(bytes: Uint8Array<ArrayBuffer>, type: string, decode: Decode): Promise<boolean> {
  if (type === "image/png") return isWholePng(bytes);
  if (type === "image/bmp") return isWholeBmp(bytes);
  return type !== "image/jpeg" || isWholeJpeg(bytes, decode);
}
