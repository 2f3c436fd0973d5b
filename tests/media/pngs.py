"""Kinds of PNG files."""

import struct
import zlib

import numpy as np
from PIL import Image

from tests.media.drawing import Draw
from tests.media.images import ADAM7, Array, chunk, deep, png, red_for_blue, saved


def packed(values: Array, bits: int) -> Array:
    """[height, bytes] of [height, width] values of so many bits, the first value in the highest bits."""
    each = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
    rows: Array = np.packbits(each.reshape(len(values), -1), axis=-1)
    return rows


def shallow_png(values: Array, kind: int, bits: int, chunks: bytes, interlaced: bool) -> bytes:
    """A grey PNG or one with a palette, of 1, 2, 4 or 8 bits a pixel."""
    height, width = values.shape
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    parts = [packed(values[y::dy, x::dx], bits) for x, y, dx, dy in passes if x < width and y < height]
    lines = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced)))
    body = header + chunks + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def grey_png(draw: Draw) -> bytes:
    bits = draw.choice(1, 2, 4, 8)
    values = draw.pixels(1)[..., 0] >> (8 - bits)
    return shallow_png(values, 0, bits, b"", draw.choice(False, False, True))


def grey_key_png(draw: Draw) -> bytes:
    bits = draw.choice(8, 4, 2, 1)
    values = draw.pixels(1)[..., 0] >> (8 - bits)
    key = int(draw.random.choice(values.ravel()))
    return shallow_png(values, 0, bits, chunk(b"tRNS", struct.pack(">H", key)), draw.choice(False, False, True))


def palette_png(draw: Draw, transparency: bytes | None = None) -> bytes:
    bits = draw.choice(8, 4, 2, 1)
    values = draw.pixels(1)[..., 0] >> (8 - bits)
    colours = draw.random.integers(0, 256, (1 << bits, 3), np.uint8)
    colours[-1] = colours[0]
    chunks = chunk(b"PLTE", colours.tobytes())
    if transparency is not None:
        chunks += chunk(b"tRNS", transparency[: 1 << bits])
    return shallow_png(values, 3, bits, chunks, draw.choice(False, False, True))


def short_palette_png(draw: Draw) -> bytes:
    """Some pixels have numbers beyond the palette's end."""
    values = draw.pixels(1)[..., 0] >> 4
    colours = draw.random.integers(0, 256, (int(draw.random.integers(1, 16)), 3), np.uint8)
    chunks = chunk(b"PLTE", colours.tobytes()) + draw.choice(b"", chunk(b"tRNS", b"\xff\0"), chunk(b"tRNS", b"\x80"))
    return shallow_png(values, 3, draw.choice(8, 4), chunks, draw.choice(False, True))


def palette_alpha_png(draw: Draw) -> bytes:
    return palette_png(draw, draw.random.integers(0, 256, 256, np.uint8).tobytes())


def palette_key_png(draw: Draw) -> bytes:
    """One entry is transparent, the others are opaque."""
    before = int(draw.random.integers(0, 2))
    return palette_png(draw, b"\xff" * before + b"\0" + b"\xff" * draw.choice(0, 300))


def colour_key_png(draw: Draw) -> bytes:
    pixels = draw.pixels()
    pixels[: len(pixels) // 3] = pixels[0, 0]
    key = chunk(b"tRNS", pixels[0, 0].astype(">u2").tobytes())
    return png(pixels, 2, chunks=key, interlaced=draw.choice(False, True))


def alpha_png(draw: Draw) -> bytes:
    kind, channels = draw.choice((4, 2), (6, 4))
    return png(draw.pixels(channels), kind, interlaced=draw.choice(False, False, True))


def rgb_png(draw: Draw) -> bytes:
    profile = chunk(b"iCCP", b"odd\0\0" + zlib.compress(red_for_blue()))
    chunks = draw.choice(
        b"",
        chunk(b"gAMA", struct.pack(">I", 100_000)),
        chunk(b"cICP", bytes([9, 16, 0, 1])),
        profile,
        chunk(b"sBIT", bytes([5, 6, 5])),
        chunk(b"bKGD", bytes(6)),
    )
    return png(draw.pixels(), 2, chunks=chunks, interlaced=draw.choice(False, True))


def deep_png(draw: Draw) -> bytes:
    """16 bits a channel; colour alone: of grey, transformers makes white."""
    kind, channels = draw.choice((2, 3), (4, 2), (6, 4), (2, 3))
    height, width = draw.random.integers(17, 90, 2)
    pixels = deep(int(height), int(width), channels)
    key = chunk(b"tRNS", pixels[3, 3].astype(">u2").tobytes()) if draw.choice(0, 0, 0, 1) else b""
    return png(pixels, kind, 16, key, interlaced=draw.choice(False, False, True))


def animated_png(draw: Draw) -> bytes:
    """Its still image is the first frame, or is no frame at all."""
    frames = [draw.image(3)]
    frames += [Image.fromarray(255 - np.asarray(frames[0])), frames[0].rotate(180)]
    options = {"save_all": True, "append_images": frames[1:], "default_image": draw.choice(False, True)}
    return saved(frames[0].convert(draw.choice("RGB", "RGB", "P")), format="PNG", **options)


def palette_image(draw: Draw, size: int) -> tuple[Array, Array]:
    values = draw.pixels(1)[..., 0].astype(int) * size // 256
    return values, draw.random.integers(0, 256, (size, 3), np.uint8)
