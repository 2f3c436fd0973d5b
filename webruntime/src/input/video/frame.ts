/** Converts a decoder's frame to upright RGB. */

import type { VideoSample } from "mediabunny";
import { turn } from "../image/orientation.ts";
import type { RgbImage } from "../image/resample.ts";
import { recoverPlanes } from "./recover.ts";
import { isKnown, type Planes, toRgb, USUAL_MATRIX } from "./yuv.ts";

/**
 * Planar formats by WebCodecs' names: the chroma's resolution, and the bits of a sample where there are more than 8.
 */
const PLANAR = /^I4(20|22|44)A?(?:P(10|12))?$/;

type Shaped = Omit<Planes, "isOnColumns">;

/** The EXIF orientation of each clockwise rotation of a video, in degrees. */
const ORIENTATIONS: Record<number, number> = { 0: 1, 90: 6, 180: 3, 270: 8 };

/** A track's properties of its frames. */
export interface Track {
  /** The colour space that the file names. */
  named: VideoColorSpaceInit;
  /** Whether the codec's chroma samples are on luma columns. */
  isOnColumns: boolean;
  /** The bits of a sample. */
  bits: number;
}

/** Return a decoder's frame as upright RGB. */
export async function readRgb(decoded: VideoSample, { named, isOnColumns, bits }: Track): Promise<RgbImage> {
  const { format, rotation, colorSpace } = decoded;
  // If a file names no matrix, browsers report "bt709", whatever it is.
  const coded = colorSpace.matrix === "bt709" ? undefined : colorSpace.matrix;
  const coding = {
    matrix: named.matrix ?? coded ?? USUAL_MATRIX,
    fullRange: named.fullRange ?? colorSpace.fullRange ?? false,
  };
  const copied = isKnown(coding.matrix) ? await copyPlanes(decoded, format) : undefined;
  const rgba = copied ? undefined : await copyRgba(decoded);
  const planes = copied ?? (rgba && isKnown(coding.matrix) ? recoverPlanes(rgba, bits) : undefined);
  const image = planes ? toRgb({ ...planes, isOnColumns }, coding) : withoutAlpha(rgba as RgbImage);
  return turn(image, ORIENTATIONS[rotation] ?? 1);
}

/** Return the planes of a frame, or undefined where the format has none. */
async function copyPlanes(decoded: VideoSample, format: VideoSample["format"]): Promise<Shaped | undefined> {
  const [, chroma, deep] = format === "NV12" ? [format, "20"] : (PLANAR.exec(format ?? "") ?? []);
  if (chroma === undefined) return undefined;
  const { width, height } = decoded.visibleRect;
  const bytes = new Uint8Array(decoded.allocationSize());
  const size = deep ? 2 : 1;
  const values = deep ? new Uint16Array(bytes.buffer) : bytes;
  const [luma, blue, red] = (await decoded.copyTo(bytes)).map(({ offset, stride }) => ({
    values,
    offset: offset / size,
    stride: stride / size,
    step: 1,
  }));
  if (!luma || !blue) throw new Error("its frames lack planes");
  const shape = { width, height, bits: Number(deep ?? 8), halfColumns: chroma !== "44", halfRows: chroma === "20" };
  if (format !== "NV12" && red) return { ...shape, luma, blue, red };
  return { ...shape, luma, blue: { ...blue, step: 2 }, red: { ...blue, offset: blue.offset + 1, step: 2 } };
}

/** Return the browser's RGB, for formats without planes and colours without a known matrix. */
async function copyRgba(decoded: VideoSample): Promise<RgbImage> {
  const { width, height } = decoded.visibleRect;
  const rgba = new Uint8Array(decoded.allocationSize({ format: "RGBA" }));
  await decoded.copyTo(rgba, { format: "RGBA" });
  return { width, height, data: rgba };
}

function withoutAlpha({ width, height, data }: RgbImage): RgbImage {
  return { width, height, data: data.filter((_, index) => index % 4 !== 3) };
}
