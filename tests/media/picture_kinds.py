"""The kinds of image files that people have, as functions of a seed: what `playwright_tests/corpus` draws from."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_utils import load_image
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from tests.media.pictures import ADAM7, Array, chunk, deep, png, red_for_blue, saved, scene, turned

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


@dataclass(frozen=True)
class Draw:
    """What a kind makes its files from. All files of a kind differ in size and content."""

    random: np.random.Generator
    seed: int

    def pixels(self, channels: int = 3) -> Array:
        """[height, width, channels] of a scene of odd and even sizes."""
        height, width = self.random.integers(17, 150, 2)
        return scene(int(height), int(width), channels, self.seed)

    def picture(self, channels: int = 3) -> Image.Image:
        pixels = self.pixels(channels)
        return Image.fromarray(pixels if channels > 1 else pixels[..., 0])

    def choice(self, *options: Any) -> Any:
        """One of the options: each in turn as the seed grows, so that a full draw has all of them."""
        return options[self.seed % len(options)]


Kind = Callable[[Draw], bytes]


def jpeg(draw: Draw) -> bytes:
    options = draw.choice(
        {"subsampling": 0},
        {"subsampling": 1},
        {"subsampling": 2},
        {"progressive": True},
        {"optimize": True},
        {"restart_marker_blocks": 2},
        {"keep_rgb": True},
        {"icc_profile": red_for_blue()},
    )
    return saved(draw.picture(), format="JPEG", quality=int(draw.random.integers(30, 98)), **options)


def grey_jpeg(draw: Draw) -> bytes:
    return saved(draw.picture(1), format="JPEG", progressive=draw.choice(False, True))


def cmyk_jpeg(draw: Draw) -> bytes:
    """With black, whose Adobe marker says inverted CMYK or YCCK, or that has no such marker."""
    cmyk = Image.fromarray(draw.pixels(4), mode="CMYK")
    content = saved(cmyk, format="JPEG", quality=90, progressive=draw.choice(False, True))
    marker = content.index(b"\xff\xee")
    end = marker + 2 + int.from_bytes(content[marker + 2 : marker + 4], "big")
    as_ycck = content[: end - 1] + b"\x02" + content[end:]
    changed: bytes = draw.choice(content, as_ycck, content[:marker] + content[end:])
    return changed


SIDEWAYS = 6
"""The orientation of photos from phones held upright. The first of each kind has it, so that the smallest draw does."""


def orientation(seed: int) -> int:
    """1 to 8, each once in eight."""
    return (seed + SIDEWAYS - 1) % 8 + 1


def turned_image(draw: Draw) -> bytes:
    """By EXIF, in each format that has it."""
    exif = turned((draw.seed + SIDEWAYS) % 10)  # 0 and 9 are none
    options = draw.choice({"format": "JPEG"}, {"format": "PNG"}, {"format": "WEBP", "lossless": True})
    return saved(draw.picture(), exif=exif, **options)


def several_in_one_jpeg(draw: Draw) -> bytes:
    """A photo with others behind it, as phones store depth and brightness."""
    first = draw.picture()
    return saved(
        first, format="MPO", save_all=True, append_images=[first.rotate(180)], exif=turned(orientation(draw.seed))
    )


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
    return saved(draw.picture(), format="JPEG" if form == "both" else form, xmp=xmp, **options)


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
    frames = [draw.picture(3)]
    frames += [Image.fromarray(255 - np.asarray(frames[0])), frames[0].rotate(180)]
    options = {"save_all": True, "append_images": frames[1:], "default_image": draw.choice(False, True)}
    return saved(frames[0].convert(draw.choice("RGB", "RGB", "P")), format="PNG", **options)


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
    clear, room = 1 << bits, (1 << bits) - 2
    codes = []
    for start in range(0, len(values), room):
        codes += [clear, *(int(value) for value in values[start : start + room])]
    codes.append(clear + 1)
    stream = sum_of_bits(codes, bits + 1)
    blocks = [stream[start : start + 255] for start in range(0, len(stream), 255)]
    return bytes([bits]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def sum_of_bits(codes: list[int], length: int) -> bytes:
    """The codes one after another, each from its lowest bit."""
    bits = (np.array(codes)[:, None] >> np.arange(length)) & 1
    return np.packbits(bits.ravel().astype(np.uint8), bitorder="little").tobytes()


def palette_image(draw: Draw, size: int) -> tuple[Array, Array]:
    values = draw.pixels(1)[..., 0].astype(int) * size // 256
    return values, draw.random.integers(0, 256, (size, 3), np.uint8)


def plain_gif(draw: Draw) -> bytes:
    values, colours = palette_image(draw, draw.choice(256, 16, 2, 64))
    if draw.choice(False, False, True):
        colours = np.arange(len(colours))[:, None].repeat(3, 1)  # which Pillow takes for shades of grey
    options = {"local": draw.choice(False, True), "interlaced": draw.choice(False, False, True)}
    return gif(values, colours, version=draw.choice(b"GIF87a", b"GIF89a"), **options)


def compressed_gif(draw: Draw) -> bytes:
    """As Pillow writes it, with codes of growing length."""
    frame = draw.picture().quantize(draw.choice(256, 30))
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


def webp(draw: Draw) -> bytes:
    options = draw.choice({"quality": 80}, {"lossless": True}, {"quality": 30, "icc_profile": red_for_blue()})
    return saved(draw.picture(), format="WEBP", **options)


def alpha_webp(draw: Draw) -> bytes:
    options = draw.choice({"lossless": True, "exact": True}, {"lossless": True}, {"quality": 80})
    return saved(draw.picture(4), format="WEBP", **options)


def animated_webp(draw: Draw) -> bytes:
    """The first frame covers the canvas or a part of it."""
    channels = draw.choice(3, 4)
    frame = draw.picture(channels)
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


def bmp(draw: Draw) -> bytes:
    picture = draw.picture()
    shape = draw.choice("RGB", "P", "L", "1", "deep", "top-down", "16", "OS/2", "15")
    if shape in ("16", "15"):
        return high_colour_bmp(draw.pixels(), 5 if shape == "15" else 6)
    if shape == "deep":
        return saved(picture.convert("RGBA"), format="BMP")
    if shape == "OS/2":
        return os2_bmp(draw.pixels())
    content = saved(picture.convert(shape if shape in ("L", "1", "P") else "RGB"), format="BMP")
    if shape != "top-down":
        return content
    height = struct.pack("<i", -picture.height)
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


def avif(draw: Draw) -> bytes:
    options = draw.choice(
        {"subsampling": "4:2:0"},
        {"subsampling": "4:4:4"},
        {"subsampling": "4:2:2"},
        {"range": "limited"},
        {"icc_profile": red_for_blue()},
    )
    return saved(draw.picture(), format="AVIF", quality=int(draw.random.integers(40, 95)), speed=9, **options)


def grey_avif(draw: Draw) -> bytes:
    return saved(draw.picture(1), format="AVIF", speed=9)


def alpha_avif(draw: Draw) -> bytes:
    return saved(draw.picture(4), format="AVIF", speed=9, quality=90)


def turned_avif(draw: Draw) -> bytes:
    """Pillow writes the orientation as the format's own turn and mirror."""
    return saved(draw.picture(), format="AVIF", speed=9, exif=turned(orientation(draw.seed)))


def animated_avif(draw: Draw) -> bytes:
    frame = draw.picture()
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
    with Image.open(io.BytesIO(content)) as picture:
        out = Gemma4ImageProcessorPil(max_soft_tokens=budget)(load_image(picture), return_tensors="np")
    real = out["image_position_ids"][0][:, 0] >= 0
    return out["pixel_values"][0][real], out["image_position_ids"][0][real]
