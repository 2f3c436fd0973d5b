"""Kinds of GIF files."""

import struct
from typing import Any

import numpy as np

from tests.media.drawing import Draw
from tests.media.images import Array, saved
from tests.media.pngs import palette_image


def gif(values: Array, colours: Array, **options: Any) -> bytes:
    """A GIF whose codes are all as long as the longest literal, with the image wherever it is said to be.

    Options: canvas (width, height), corner (x, y), key (the transparent index), local (whether the palette is the
    image's own), interlaced, version.
    """
    height, width = values.shape
    canvas, corner = options.get("canvas", (width, height)), options.get("corner", (0, 0))
    bits = max(int(len(colours) - 1).bit_length(), 1)
    table = 0x80 | (bits - 1)
    local = options.get("local", False)
    palette = colours.astype(np.uint8).tobytes()
    screen = struct.pack("<HHBBB", *canvas, 0 if local else table, options.get("background", 0), 0)
    key = options.get("key")
    control = b"" if key is None else b"\x21\xf9\x04" + struct.pack("<BHB", 1, 0, key) + b"\0"
    flags = (table if local else 0) | (0x40 if options.get("interlaced") else 0)
    image = b"," + struct.pack("<HHHHB", *corner, width, height, flags)
    if options.get("interlaced"):
        values = np.concatenate([values[0::8], values[4::8], values[2::4], values[1::2]])
    body = screen + (b"" if local else palette) + control + image + (palette if local else b"")
    version: bytes = options.get("version", b"GIF89a")
    return version + body + lzw(values.ravel(), max(bits, 2)) + b";"


def lzw(values: Array, bits: int) -> bytes:
    """The values as GIF's codes: its table is cleared before it grows, so that all codes have one length."""
    clear, most = 1 << bits, (1 << bits) - 2
    codes = []
    for start in range(0, len(values), most):
        codes += [clear, *(int(value) for value in values[start : start + most])]
    codes.append(clear + 1)
    stream = sum_of_bits(codes, bits + 1)
    blocks = [stream[start : start + 255] for start in range(0, len(stream), 255)]
    return bytes([bits]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def sum_of_bits(codes: list[int], length: int) -> bytes:
    """The codes one after another, each from its lowest bit."""
    bits = (np.array(codes)[:, None] >> np.arange(length)) & 1
    return np.packbits(bits.ravel().astype(np.uint8), bitorder="little").tobytes()


def plain_gif(draw: Draw) -> bytes:
    values, colours = palette_image(draw, draw.choice(256, 16, 2, 64))
    if draw.choice(False, False, True):
        colours = np.arange(len(colours))[:, None].repeat(3, 1)  # which Pillow takes for shades of grey
    options = {"local": draw.choice(False, True), "interlaced": draw.choice(False, False, True)}
    return gif(values, colours, version=draw.choice(b"GIF87a", b"GIF89a"), **options)


def compressed_gif(draw: Draw) -> bytes:
    """As Pillow writes it, with codes of growing length."""
    frame = draw.image().quantize(draw.choice(256, 30))
    others = [frame.rotate(180)] if draw.choice(False, True) else []
    return saved(frame, format="GIF", save_all=True, append_images=others, interlace=draw.choice(0, 1))


def transparent_gif(draw: Draw) -> bytes:
    values, colours = palette_image(draw, draw.choice(16, 256, 4))
    colours[-1] = colours[1]  # a second entry of the same colour
    if draw.choice(False, False, True):
        colours = np.arange(len(colours))[:, None].repeat(3, 1)
    key = draw.choice(1, 0, 3)
    return gif(values, colours, key=key, local=draw.choice(False, True))


def small_first_frame_gif(draw: Draw) -> bytes:
    """The first frame covers a part of the canvas, or goes beyond it; with and without a transparent entry."""
    values, colours = palette_image(draw, 32)
    height, width = values.shape
    canvas = draw.choice((width + 20, height + 9), (width, height + 30), (max(width - 5, 1), height))
    if draw.choice(False, False, False, True):
        colours = np.arange(32)[:, None].repeat(3, 1)
    key = draw.choice(None, 4)
    return gif(values, colours, canvas=canvas, corner=draw.choice((7, 5), (0, 0)), key=key, background=9)
