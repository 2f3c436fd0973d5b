"""The kinds of image files that people have, as functions of a seed: what `playwright_tests/corpus` draws from."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_utils import load_image
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from tests.media.bmps import bmp, run_length_bmp
from tests.media.drawing import SIDEWAYS, Draw, Kind, orientation
from tests.media.gifs import compressed_gif, plain_gif, small_first_frame_gif, transparent_gif
from tests.media.images import chunk, png, red_for_blue, saved, turned
from tests.media.jpegs import cmyk_jpeg, grey_jpeg, jpeg, several_in_one_jpeg
from tests.media.pngs import (
    alpha_png,
    animated_png,
    colour_key_png,
    deep_png,
    grey_key_png,
    grey_png,
    palette_alpha_png,
    palette_key_png,
    palette_png,
    rgb_png,
    short_palette_png,
)

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def turned_image(draw: Draw) -> bytes:
    """By EXIF, in each format that has it."""
    exif = turned((draw.seed + SIDEWAYS) % 10)  # 0 and 9 are none
    options = draw.choice({"format": "JPEG"}, {"format": "PNG"}, {"format": "WEBP", "lossless": True})
    return saved(draw.image(), exif=exif, **options)


def turned_by_note(draw: Draw) -> bytes:
    xmp = XMP % orientation(draw.seed)
    form = draw.choice("JPEG", "PNG", "WEBP", "both", "PNG, EXIF as text")
    if form == "PNG":
        compressed = draw.seed % 2
        text = zlib.compress(xmp) if compressed else xmp
        return png(draw.pixels(), 2, chunks=chunk(b"iTXt", b"XML:com.adobe.xmp\0%c\0\0\0" % compressed + text))
    if form == "PNG, EXIF as text":
        exif = turned(orientation(draw.seed)).tobytes()
        text = b"\nexif\n%8d\n" % len(exif) + exif.hex().encode()
        profile = b"Raw profile type exif\0\0" + zlib.compress(text)
        return png(draw.pixels(), 2, chunks=chunk(b"zTXt", profile))
    options = {"exif": turned(3)} if form == "both" else {}
    return saved(draw.image(), format="JPEG" if form == "both" else form, xmp=xmp, **options)


def webp(draw: Draw) -> bytes:
    options = draw.choice({"quality": 80}, {"lossless": True}, {"quality": 30, "icc_profile": red_for_blue()})
    return saved(draw.image(), format="WEBP", **options)


def alpha_webp(draw: Draw) -> bytes:
    options = draw.choice({"lossless": True, "exact": True}, {"lossless": True}, {"quality": 80})
    return saved(draw.image(4), format="WEBP", **options)


def animated_webp(draw: Draw) -> bytes:
    """The first frame covers the canvas or a part of it."""
    channels = draw.choice(3, 4)
    frame = draw.image(channels)
    inner = saved(frame, format="WEBP", lossless=True, exact=True)[12:]
    if inner[:4] == b"VP8X":
        inner = inner[18:]
    x, y, right, below = draw.choice((0, 0, 0, 0), (4, 6, 10, 3), (0, 0, 0, 0))
    size = frame.width + x + right, frame.height + y + below
    alpha = 0x10 if channels == 4 else 0
    head = riff(b"VP8X", bytes([0x02 | alpha, 0, 0, 0]) + three(size[0] - 1) + three(size[1] - 1))
    anim = riff(b"ANIM", bytes([30, 60, 90, 255, 0, 0]))
    place = three(x // 2) + three(y // 2) + three(frame.width - 1) + three(frame.height - 1) + three(100)
    flags = draw.choice(0, 2)  # blended or not
    frames = b"".join(riff(b"ANMF", place + bytes([flags]) + inner) for _ in range(2))
    body = b"WEBP" + head + anim + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def three(value: int) -> bytes:
    return value.to_bytes(3, "little")


def avif(draw: Draw) -> bytes:
    options = draw.choice(
        {"subsampling": "4:2:0"},
        {"subsampling": "4:4:4"},
        {"subsampling": "4:2:2"},
        {"range": "limited"},
        {"icc_profile": red_for_blue()},
    )
    return saved(draw.image(), format="AVIF", quality=int(draw.random.integers(40, 95)), speed=9, **options)


def grey_avif(draw: Draw) -> bytes:
    return saved(draw.image(1), format="AVIF", speed=9)


def alpha_avif(draw: Draw) -> bytes:
    return saved(draw.image(4), format="AVIF", speed=9, quality=90)


def turned_avif(draw: Draw) -> bytes:
    """Pillow writes the orientation as the format's own turn and mirror."""
    return saved(draw.image(), format="AVIF", speed=9, exif=turned(orientation(draw.seed)))


def animated_avif(draw: Draw) -> bytes:
    frame = draw.image()
    return saved(frame, format="AVIF", speed=9, save_all=True, append_images=[frame.rotate(180)])


def of_any_size(draw: Draw) -> bytes:
    """Noise, which shows in which order rows and columns are resized: with large ones among them."""
    width, height = draw.choice((1170, 2532), (451, 300), (40, 1000), (2000, 33), (333, 1301), (1, 700))
    add = int(draw.random.integers(0, 9))
    pixels = draw.random.integers(0, 256, (height + add, width + add, 3), np.uint8)
    return saved(Image.fromarray(pixels), format="PNG", compress_level=1)


KINDS: dict[str, Kind] = {
    "any size": of_any_size,
    "JPEG, several in one": several_in_one_jpeg,
    "JPEG": jpeg,
    "JPEG, grey": grey_jpeg,
    "JPEG, CMYK with black": cmyk_jpeg,
    "turned by EXIF": turned_image,
    "turned by XMP or text": turned_by_note,
    "PNG, RGB": rgb_png,
    "PNG, grey of 1 to 8 bits": grey_png,
    "PNG, palette of 1 to 8 bits": palette_png,
    "PNG, palette that is too short": short_palette_png,
    "PNG, alpha": alpha_png,
    "PNG, grey key": grey_key_png,
    "PNG, colour key": colour_key_png,
    "PNG, transparent palette": palette_alpha_png,
    "PNG, one transparent entry": palette_key_png,
    "PNG, 16 bits": deep_png,
    "PNG, animated": animated_png,
    "GIF": plain_gif,
    "GIF, compressed": compressed_gif,
    "GIF, transparent": transparent_gif,
    "GIF, small first frame": small_first_frame_gif,
    "WebP": webp,
    "WebP, alpha": alpha_webp,
    "WebP, animated": animated_webp,
    "BMP": bmp,
    "BMP, run lengths": run_length_bmp,
    "AVIF": avif,
    "AVIF, grey": grey_avif,
    "AVIF, alpha": alpha_avif,
    "AVIF, turned": turned_avif,
    "AVIF, animated": animated_avif,
}


def drawn(kind: str, count: int) -> list[bytes]:
    """So many files of a kind, always the same."""
    return [KINDS[kind](Draw(np.random.default_rng([seed, len(kind)]), seed)) for seed in range(count)]


def processed(content: bytes, budget: int) -> tuple[Any, Any]:
    """Patches and positions of a file by transformers, as it opens files by their paths."""
    with Image.open(io.BytesIO(content)) as image:
        out = Gemma4ImageProcessorPil(max_soft_tokens=budget)(load_image(image), return_tensors="np")
    real = out["image_position_ids"][0][:, 0] >= 0
    return out["pixel_values"][0][real], out["image_position_ids"][0][real]
