/** Reads the bytes of a decoded image, unchanged. */

import type { RgbImage } from "./resample.ts";

/** The side, in pixels, of the squares that are copied one at a time. Every WebGL 2 has textures of this size. */
const TILE = 2048;

/**
 * Return the RGB of a bitmap that was made with premultiplyAlpha "none". A video frame and a texture keep the colours
 * of transparent pixels; a canvas loses them in a multiplication. Firefox has video frames where it has no WebGL.
 */
export async function readPixels(bitmap: ImageBitmap): Promise<RgbImage> {
  const { width, height } = bitmap;
  const image = { width, height, data: new Uint8Array(width * height * 3) };
  const { read, close } = openReader(bitmap);
  try {
    for (let top = 0; top < height; top += TILE) {
      for (let left = 0; left < width; left += TILE) {
        const [columns, rows] = [Math.min(TILE, width - left), Math.min(TILE, height - top)];
        write(image, await read(left, top, columns, rows), left, top, columns);
      }
    }
  } finally {
    close?.();
  }
  return image;
}

/** Four bytes for each pixel of a rectangle, and the indices of red, green and blue among them. */
interface Tile {
  bytes: Uint8Array | Uint8ClampedArray;
  order: readonly [red: number, green: number, blue: number];
}

interface Reader {
  read(left: number, top: number, width: number, height: number): Tile | Promise<Tile>;
  close?(): void;
}

const [RGBA, BGRA] = [
  [0, 1, 2],
  [2, 1, 0],
] as const;

/** The indices of red, green and blue in each format of a frame. */
const ORDERS: Partial<Record<VideoPixelFormat, Tile["order"]>> = { RGBA, RGBX: RGBA, BGRA, BGRX: BGRA };

function openReader(bitmap: ImageBitmap): Reader {
  const frame = openFrame(bitmap);
  const order = isUpright(frame) ? ORDERS[frame?.format ?? "I420"] : undefined;
  if (frame && order) return frameReader(frame, order);
  frame?.close();
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  return gl ? textureReader(gl, bitmap) : canvasReader(bitmap);
}

/** Return a video frame of the bitmap, or undefined where the browser has none, or none of this size. */
function openFrame(bitmap: ImageBitmap): VideoFrame | undefined {
  try {
    return new VideoFrame(bitmap, { timestamp: 0 });
  } catch {
    return undefined;
  }
}

/**
 * Whether a frame is upright. Chromium's frame of a bitmap from a rotated AVIF has the pixels before rotation, and
 * states the rotation.
 */
function isUpright(frame: (VideoFrame & { rotation?: number; flip?: boolean }) | undefined): boolean {
  return !frame?.rotation && !frame?.flip;
}

function frameReader(frame: VideoFrame, order: Tile["order"]): Reader {
  return {
    close: () => frame.close(),
    async read(x, y, width, height) {
      const bytes = new Uint8Array(width * height * 4);
      await frame.copyTo(bytes, { rect: { x, y, width, height }, layout: [{ offset: 0, stride: width * 4 }] });
      return { bytes, order };
    },
  };
}

function textureReader(gl: WebGL2RenderingContext, bitmap: ImageBitmap): Reader {
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  const read = (left: number, top: number, width: number, height: number) => {
    gl.pixelStorei(gl.UNPACK_SKIP_PIXELS, left);
    gl.pixelStorei(gl.UNPACK_SKIP_ROWS, top);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    const texture = gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture;
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const rgba = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
    return { bytes: rgba, order: RGBA };
  };
  return { read };
}

function canvasReader(bitmap: ImageBitmap): Reader {
  const read = (left: number, top: number, width: number, height: number) => {
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("This browser has no canvas in workers.");
    context.drawImage(bitmap, -left, -top);
    return { bytes: context.getImageData(0, 0, width, height).data, order: RGBA };
  };
  return { read };
}

function write(image: RgbImage, { bytes, order }: Tile, left: number, top: number, columns: number): void {
  const [red, green, blue] = order;
  for (let from = 0, pixel = 0; from < bytes.length; from += 4, pixel++) {
    const y = top + Math.floor(pixel / columns);
    const to = (y * image.width + left + (pixel % columns)) * 3;
    image.data[to] = bytes[from + red] as number;
    image.data[to + 1] = bytes[from + green] as number;
    image.data[to + 2] = bytes[from + blue] as number;
  }
}
