"""Images: from a file to RGB, and from RGB to a tower's rows. Importing this module needs the extra `media`."""

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gemtab.errors import MediaError
from gemtab.media.limits import MAX_IMAGE_BYTES, MAX_PIXELS
from gemtab.media.rules import ImageRules, target_size
from gemtab.media.source import media_extra, named_content
from gemtab.media.unread import unread_format

with media_extra():
    from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
"""Formats that browsers read too. For some other formats Pillow starts programs."""

WHITE = 255

Pixels = NDArray[np.uint8]
"""[height, width, 3], RGB."""


@dataclass(frozen=True)
class ImageInputs:
    """The model's inputs for one image of N patches.

    patches: [N, cut * cut * 3] f32 in [0, 1]; a patch is ordered by row, column, channel. positions: [N, 2] i32, (x, y)
    in patches. Both are in row-major order, without padding. soft_tokens: number of soft tokens of the image.
    """

    patches: NDArray[np.float32]
    positions: NDArray[np.int32]
    soft_tokens: int


def load_image(source: Path | bytes) -> Pixels:
    """Return the image in a file or its bytes, upright, as RGB.

    Pixels are those of transformers' processor: white replaces a single transparent colour, other transparency is
    dropped, and colour profiles are ignored. Two cases differ. transformers cuts off 16-bit grey PNGs at 255 (nearly
    all white); here they keep the higher 8 bits, as colour PNGs do. Damaged EXIF is ignored. Raises MediaError where
    the file cannot be read or exceeds a limit of `gemtab.media.limits`.
    """
    name, content = named_content(source, "The image", MAX_IMAGE_BYTES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on sizes (MAX_PIXELS is stricter) and on dropped alpha
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                check_size(image.width, image.height, name)
                return _on_white(_shallow(image))
        except Image.DecompressionBombError as error:
            raise MediaError(
                f"{name} has too many pixels; the limit is {MAX_PIXELS:,}. Make the image smaller."
            ) from error
        except UnidentifiedImageError as error:
            kinds = ", ".join(FORMATS)
            if unread := unread_format(content):
                raise MediaError(f"{name} is {unread}; only {kinds} are read. Save it as PNG.") from error
            raise MediaError(
                f"{name} cannot be read as an image: its content is none of {kinds}, whatever the file's name says, or "
                "its beginning is damaged."
            ) from error
        except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
            raise MediaError(f"{name} is damaged or incomplete ({error}). Save or download it again.") from error


def image_inputs(pixels: Pixels, rules: ImageRules) -> ImageInputs:
    """Resize `pixels` ([height, width, 3]) by antialiased bicubic, and cut the patches."""
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
    """Resize `pixels` by Pillow's bicubic filter: antialiased, rounded to 8 bits after each direction."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def check_size(width: int, height: int, name: str) -> None:
    """Raise MediaError for more than MAX_PIXELS, before memory of that size is allocated."""
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{name} has too many pixels: {width} × {height}; the limit is {MAX_PIXELS:,}. Make it smaller."
        )


def _shallow(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits a channel. Pillow itself turns most of a 16-bit grey PNG white."""
    image.load()
    if not image.mode.startswith("I"):
        return image
    deep = np.asarray(image).astype(np.uint32)
    pixels = (deep >> 8).astype(np.uint8)
    pixels[deep == image.info.get("transparency", -1)] = WHITE
    grey = Image.fromarray(pixels)
    grey.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return grey


def _on_white(image: Image.Image) -> Pixels:
    """Return the image upright, as RGB on white. Pillow remembers a single transparent colour when it drops alpha."""
    rgb = _upright(image).convert("RGB")
    pixels = np.array(rgb)
    if rgb.info.get("transparency") is not None:
        pixels[np.asarray(rgb.convert("RGBA"))[..., 3] == 0] = WHITE
    return pixels


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, KeyError, struct.error):  # damaged EXIF: the pixels are read already
        return image
