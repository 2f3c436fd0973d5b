/** A decoded picture's bytes, with nothing done to them. */

import type { RgbImage } from "./resample.ts";

/** Pixels on a side of what is copied at a time; every WebGL 2 has textures of this size. */
const TILE = 2048;

/**
 * RGB of a bitmap made with premultiplyAlpha "none". A texture keeps the colours of transparent pixels, which a canvas
 * multiplies away; a canvas is read where there is no WebGL 2.
 */
export function readPixels(bitmap: ImageBitmap): RgbImage {
  const { width, height } = bitmap;
  const image = { width, height, data: new Uint8Array(width * height * 3) };
  const read = tileReader(bitmap);
  for (let top = 0; top < height; top += TILE) {
    for (let left = 0; left < width; left += TILE) {
      const [columns, rows] = [Math.min(TILE, width - left), Math.min(TILE, height - top)];
      place(image, read(left, top, columns, rows), left, top, columns);
    }
  }
  return image;
}

/** Returns RGBA of a rectangle. */
type TileReader = (left: number, top: number, width: number, height: number) => Uint8Array | Uint8ClampedArray;

function tileReader(bitmap: ImageBitmap): TileReader {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  return gl ? textureReader(gl, bitmap) : canvasReader(bitmap);
}

function textureReader(gl: WebGL2RenderingContext, bitmap: ImageBitmap): TileReader {
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  return (left, top, width, height) => {
    gl.pixelStorei(gl.UNPACK_SKIP_PIXELS, left);
    gl.pixelStorei(gl.UNPACK_SKIP_ROWS, top);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    const texture = gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture;
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const rgba = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
    return rgba;
  };
}

function canvasReader(bitmap: ImageBitmap): TileReader {
  return (left, top, width, height) => {
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("This browser gives workers no canvas.");
    context.drawImage(bitmap, -left, -top);
    return context.getImageData(0, 0, width, height).data;
  };
}

function place(
  image: RgbImage,
  rgba: Uint8Array | Uint8ClampedArray,
  left: number,
  top: number,
  columns: number,
): void {
  for (let from = 0, pixel = 0; from < rgba.length; from += 4, pixel++) {
    const y = top + Math.floor(pixel / columns);
    const to = (y * image.width + left + (pixel % columns)) * 3;
    image.data[to] = rgba[from] as number;
    image.data[to + 1] = rgba[from + 1] as number;
    image.data[to + 2] = rgba[from + 2] as number;
  }
}
