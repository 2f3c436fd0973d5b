"""Images in the formats people have, made anew by every test run from one seed."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Array = NDArray[Any]

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
"""Of each pass of an interlaced PNG: the first column and row, and the steps between columns and rows."""


def scene(height: int, width: int, channels: int = 3, seed: int = 1) -> Array:
    """[height, width, channels]: slopes, discs with hard edges, and noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = []
    for _ in range(channels):
        plane = 255 * (x * random.random() / width + y * random.random() / height) / 2
        for _ in range(12):
            centre_y, centre_x = random.random(2) * (height, width)
            radius = random.random() * max(height, width) / 5 + 1
            plane[(y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2] = random.integers(0, 256)
        planes.append(plane + random.normal(0, 6, plane.shape))
    pixels: Array = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return pixels


def png(pixels: Array, kind: int, bits: int = 8, chunks: bytes = b"", interlaced: bool = False) -> bytes:
    """A PNG of colour type `kind` written by the format's definition; Pillow writes no 16-bit colour."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    lines = b"".join(scanlines(pixels[y::dy, x::dx], bits) for x, y, dx, dy in passes)
    body = chunk(b"IHDR", header) + chunks + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def scanlines(pixels: Array, bits: int) -> bytes:
    """Rows of a PNG, each filtered by another of its five filters."""
    rows = pixels.reshape(len(pixels), -1).astype(">u2" if bits == 16 else "u1").view("u1").astype(int)
    step = pixels[0, 0].size * bits // 8
    left, above = np.zeros_like(rows), np.zeros_like(rows)
    left[:, step:], above[1:] = rows[:, :-step], rows[:-1]
    corner = np.zeros_like(rows)
    corner[1:, step:] = rows[:-1, :-step]
    guesses = [np.zeros_like(rows), left, above, (left + above) // 2, paeth(left, above, corner)]
    return b"".join(bytes([y % 5, *((row - guesses[y % 5][y]) % 256)]) for y, row in enumerate(rows))


def paeth(left: Array, above: Array, corner: Array) -> Array:
    """Of the three, the nearest to left + above - corner; the first of equally near ones."""
    candidates = np.stack([left, above, corner])
    nearest = np.abs(candidates - (left + above - corner)).argmin(0)
    chosen: Array = np.take_along_axis(candidates, nearest[None], 0)[0]
    return chosen


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def saved(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def red_for_blue() -> bytes:
    """An ICC profile that nobody who heeds it can miss."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tmp ").replace(b"bXYZ", b"rXYZ").replace(b"tmp ", b"bXYZ")


def deep(height: int, width: int, channels: int) -> Array:
    low = np.random.default_rng(2).integers(0, 256, (height, width, channels), np.uint16)
    pixels: Array = scene(height, width, channels).astype(np.uint16) * 256 + low
    return pixels


def images() -> dict[str, bytes]:
    """File contents by file name."""
    rgb, rgba = Image.fromarray(scene(217, 333)), Image.fromarray(scene(217, 333, 4))
    grey = rgb.convert("L")
    palette = rgb.quantize(64)
    odd_profile = red_for_blue()
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    jpeg = {f"turned-{n}.jpg": saved(rgb, format="JPEG", quality=90, exif=turned(n)) for n in range(1, 9)} | {
        "4:4:4.jpg": saved(rgb, format="JPEG", quality=95, subsampling=0),
        "4:2:2.jpg": saved(rgb, format="JPEG", quality=85, subsampling=1),
        "4:2:0.jpg": saved(rgb, format="JPEG", quality=75, subsampling=2),
        "progressive.jpg": saved(rgb, format="JPEG", progressive=True, quality=80),
        "grey.jpg": saved(grey, format="JPEG"),
        "cmyk.jpg": saved(rgb.convert("CMYK"), format="JPEG", quality=95),
        "profile.jpg": saved(rgb, format="JPEG", icc_profile=odd_profile),
    }
    pngs = {
        "rgb.png": saved(rgb, format="PNG"),
        "grey.png": saved(grey, format="PNG"),
        "two-levels.png": saved(grey.convert("1"), format="PNG"),
        "alpha.png": saved(rgba, format="PNG"),
        "grey-alpha.png": saved(rgba.convert("LA"), format="PNG"),
        "palette.png": saved(palette, format="PNG"),
        "palette-transparent.png": saved(palette, format="PNG", transparency=bytes(range(0, 256, 4))),
        "colour-key.png": saved(rgb, format="PNG", transparency=rgb.getpixel((5, 5))),
        "profile.png": saved(rgb, format="PNG", icc_profile=odd_profile),
        "gamma.png": png(scene(217, 333), 2, chunks=gamma),
        "turned.png": saved(rgb, format="PNG", exif=turned(6)),
        "deep-grey.png": png(deep(101, 150, 1), 0, 16),
        "deep-rgb.png": png(deep(101, 150, 3), 2, 16),
        "deep-grey-alpha.png": png(deep(101, 150, 2), 4, 16),
        "deep-rgba.png": png(deep(101, 150, 4), 6, 16),
        "deep-interlaced.png": png(deep(101, 150, 3), 2, 16, interlaced=True),
        "deep-turned.png": png(deep(101, 150, 3), 2, 16, chunk(b"eXIf", turned(6).tobytes()[6:])),
        "interlaced.png": png(scene(217, 333), 2, interlaced=True),
    }
    others = {
        "lossy.webp": saved(rgb, format="WEBP", quality=80),
        "lossless.webp": saved(rgb, format="WEBP", lossless=True),
        "alpha.webp": saved(rgba, format="WEBP", lossless=True, exact=True),
        "turned.webp": saved(rgb, format="WEBP", lossless=True, exif=turned(8)),
        "still.gif": saved(palette, format="GIF"),
        "rgb.bmp": saved(rgb, format="BMP"),
        "rgb.avif": saved(rgb, format="AVIF", quality=90),
    }
    sizes = {
        "tall.png": saved(Image.fromarray(scene(2000, 40)), format="PNG"),
        "wide.jpg": saved(Image.fromarray(scene(40, 2000)), format="JPEG", quality=92),
        "line.png": saved(Image.fromarray(scene(1, 900)), format="PNG"),
        "1x1.png": saved(Image.fromarray(scene(1, 1)), format="PNG"),
        "8000.jpg": saved(Image.fromarray(scene(600, 8000)), format="JPEG", quality=90),
        "exact.png": saved(Image.fromarray(scene(480, 336)), format="PNG"),
    }
    return jpeg | pngs | others | sizes


def unread() -> dict[str, bytes]:
    """Files of kinds that Pillow reads in part, and browsers in part, by the kind's name."""
    rgb = Image.fromarray(scene(40, 60))
    return {
        "TIFF": saved(rgb, format="TIFF"),
        "ICO": saved(rgb, format="ICO"),
        "JPEG 2000": saved(rgb, format="JPEG2000"),
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
        "HEIF": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40),
        "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40),
        "Photoshop": b"8BPS\0\1" + bytes(40),
        "PDF": b"%PDF-1.7\n" + bytes(40),
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }


def write(contents: dict[str, bytes], folder: Path) -> None:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
