"""Pictures: from a file to RGB, and from RGB to a tower's rows. Importing this needs the extra `media`."""

import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gemtab.errors import MediaError
from gemtab.media.rules import MAX_PIXELS, ImageRules, target_size
from gemtab.media.source import media_extra, named_content

with media_extra():
    from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
"""What browsers read too. Pillow knows more, for some of which it starts other programs."""

GREY, RGB, GREY_ALPHA = 0, 2, 4
"""Colour types of PNG."""

Pixels = NDArray[np.uint8]
"""[height, width, 3], RGB."""


@dataclass(frozen=True)
class ImageInputs:
    """What the part of a model that sees takes for one picture of N patches.

    patches: [N, cut * cut * 3] f32 in [0, 1], each patch by rows, then columns, then channels. positions: [N, 2] i32,
    (x, y) counted in patches. Both go by the rows of the picture and have no padding.
    """

    patches: NDArray[np.float32]
    positions: NDArray[np.int32]
    soft_tokens: int


def load_image(source: Path | bytes) -> Pixels:
    """The picture in a file or its bytes, upright, as RGB.

    As transformers' load_image: transparency is dropped and colour profiles are ignored. Unlike there, 16-bit PNGs are
    scaled by 257. Raises MediaError for what cannot be read.
    """
    name, content = named_content(source, "The picture")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's: of sizes, to which MAX_PIXELS is stricter, and of dropped alpha
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                check_size(picture.width, picture.height, name)
                return _upright_rgb(picture, content)
        except Image.DecompressionBombError as error:
            raise MediaError(
                f"{name} has too many pixels: at most {MAX_PIXELS:,} are read. Make it smaller."
            ) from error
        except UnidentifiedImageError as error:
            kinds = ", ".join(FORMATS)
            raise MediaError(
                f"{name} cannot be read as a picture: whatever its name says, it holds none of {kinds}, or only a "
                "damaged beginning of one."
            ) from error
        except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
            raise MediaError(f"{name} is damaged or incomplete ({error}). Save or download it again.") from error


def image_inputs(pixels: Pixels, rules: ImageRules) -> ImageInputs:
    """Resizes `pixels` by antialiased bicubic and cuts the patches."""
    height, width = target_size(pixels.shape[0], pixels.shape[1], rules)
    cut = rules.cut
    rows, columns = height // cut, width // cut
    squares = resize(pixels, height, width).reshape(rows, cut, columns, cut, 3).swapaxes(1, 2)
    y, x = np.divmod(np.arange(rows * columns, dtype=np.int32), np.int32(columns))
    return ImageInputs(
        patches=squares.reshape(rows * columns, cut * cut * 3) * np.float32(1 / 255),
        positions=np.stack([x, y], axis=1),
        soft_tokens=height * width // rules.side**2,
    )


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """`pixels` by Pillow's bicubic filter: antialiased, rounded to 8 bits after each direction."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def check_size(width: int, height: int, name: str) -> None:
    """Raises MediaError for more than MAX_PIXELS, before anything of that size is allocated."""
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{name} has too many pixels: {width} × {height}, and at most {MAX_PIXELS:,} are read. Make it smaller."
        )


def _upright_rgb(picture: Image.Image, content: bytes) -> Pixels:
    if picture.format == "PNG" and content[24] == 16:
        deep = Image.fromarray(_deep_png(picture.size, content))
        deep.info["exif"] = picture.getexif().tobytes()
        picture = deep
    return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def _deep_png(size: tuple[int, int], content: bytes) -> Pixels:
    """A PNG with 16 bits a channel, without its alpha: where there is colour, Pillow keeps 8 of the bits alone.

    So its decoder is asked for each half: where a pixel has at most 4 bytes they are read as so many channels.
    """
    kind, interlaced = content[25], content[28]
    data = b"".join(_png_data(content))

    def read(mode: str, raw: str) -> NDArray[np.uint32]:
        return np.asarray(Image.frombytes(mode, size, data, "zip", raw, interlaced), np.uint32)

    if kind in (GREY, GREY_ALPHA):
        halves = read("LA", "LA") if kind == GREY else read("RGBA", "RGBA")
        high, low = halves[..., :1].repeat(3, -1), halves[..., 1:2]
    else:
        mode = "RGB" if kind == RGB else "RGBA"
        high, low = read(mode, f"{mode};16B")[..., :3], read(mode, f"{mode};16L")[..., :3]
    # The nearest of 256 steps, which are 257 apart.
    return ((high * 256 + low + 128) // 257).astype(np.uint8)


def _png_data(content: bytes) -> Iterator[bytes]:
    """The compressed pixels, as they are spread over chunks. Raises OSError where the file ends too early."""
    start = 8
    while (kind := content[start + 4 : start + 8]) != b"IEND":
        if len(kind) < 4:
            raise OSError("it ends too early")
        if kind == b"IDAT":
            yield content[start + 8 : start + 8 + _length(content, start)]
        start += _length(content, start) + 12


def _length(content: bytes, start: int) -> int:
    return int.from_bytes(content[start : start + 4], "big")
