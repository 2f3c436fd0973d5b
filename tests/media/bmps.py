"""Kinds of BMP files."""

import struct

import numpy as np

from tests.media.drawing import Draw
from tests.media.images import Array, saved
from tests.media.pngs import palette_image


def bmp(draw: Draw) -> bytes:
    image = draw.image()
    shape = draw.choice("RGB", "P", "L", "1", "deep", "top-down", "16", "OS/2", "15")
    if shape in ("16", "15"):
        return high_colour_bmp(draw.pixels(), 5 if shape == "15" else 6)
    if shape == "deep":
        return saved(image.convert("RGBA"), format="BMP")
    if shape == "OS/2":
        return os2_bmp(draw.pixels())
    content = saved(image.convert(shape if shape in ("L", "1", "P") else "RGB"), format="BMP")
    if shape != "top-down":
        return content
    height = struct.pack("<i", -image.height)
    return content[:22] + height + content[26:]


def high_colour_bmp(pixels: Array, green: int) -> bytes:
    """16 bits a pixel, so many of them green."""
    height, width = pixels.shape[:2]
    red, middle, blue = (pixels[..., channel].astype(np.uint16) for channel in range(3))
    values = (red >> 3) << (5 + green) | (middle >> (8 - green)) << 5 | blue >> 3
    rows = np.zeros((height, (width + 1) // 2 * 2), "<u2")
    rows[:, :width] = values[::-1]
    masks = struct.pack("<III", 0x1F << (5 + green), ((1 << green) - 1) << 5, 0x1F)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 3, rows.nbytes, 0, 0, 0, 0)
    return bmp_file(header + masks, rows.tobytes())


def os2_bmp(pixels: Array) -> bytes:
    height, width = pixels.shape[:2]
    rows = np.zeros((height, (width * 3 + 3) // 4 * 4), np.uint8)
    rows[:, : width * 3] = pixels[::-1, :, ::-1].reshape(height, -1)
    return bmp_file(struct.pack("<IHHHH", 12, width, height, 1, 24), rows.tobytes())


def bmp_file(header: bytes, pixels: bytes) -> bytes:
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + pixels


def run_length_bmp(draw: Draw) -> bytes:
    """8 bits a pixel, in runs, every other one written out."""
    values, colours = palette_image(draw, 256)
    values = values // draw.choice(1, 16) * draw.choice(1, 16)
    height, width = values.shape
    lines = b"".join(b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in values[::-1].tolist())
    table = np.zeros((256, 4), np.uint8)
    table[:, :3] = colours[:, ::-1]
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(lines) + 2, 0, 0, 0, 0)
    return bmp_file(header + table.tobytes(), lines + b"\0\1")
