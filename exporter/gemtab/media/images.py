"""Pictures: from a file to RGB, and from RGB to a tower's rows. Importing this needs the extra `media`."""

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gemtab.errors import MediaError
from gemtab.media.limits import MAX_PIXELS, MOST_IMAGE_BYTES
from gemtab.media.rules import ImageRules, target_size
from gemtab.media.source import media_extra, named_content
from gemtab.media.unread import unread_format

with media_extra():
    from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
"""What browsers read too. Pillow knows more, for some of which it starts other programs."""

WHITE = 255

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

    As transformers' processor makes it of a file: a single transparent colour is put on white, other transparency is
    dropped, and colour profiles are ignored. Unlike there, grey PNGs with 16 bits are not cut off at 255 (nearly all
    white), but have the higher 8 bits, as PNGs in colour do; and EXIF that is damaged is ignored. Raises MediaError for
    what cannot be read.
    """
    name, content = named_content(source, "The picture", MOST_IMAGE_BYTES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's: of sizes, to which MAX_PIXELS is stricter, and of dropped alpha
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                check_size(picture.width, picture.height, name)
                return _on_white(_shallow(picture))
        except Image.DecompressionBombError as error:
            raise MediaError(
                f"{name} has too many pixels: at most {MAX_PIXELS:,} are read. Make it smaller."
            ) from error
        except UnidentifiedImageError as error:
            kinds = ", ".join(FORMATS)
            if unread := unread_format(content):
                raise MediaError(f"{name} is a file of {unread}, and only {kinds} are read. Save it as PNG.") from error
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


def _shallow(picture: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel. Pillow makes white of most of a grey PNG with 16."""
    picture.load()
    if not picture.mode.startswith("I"):
        return picture
    deep = np.asarray(picture).astype(np.uint32)
    pixels = (deep >> 8).astype(np.uint8)
    pixels[deep == picture.info.get("transparency", -1)] = WHITE
    grey = Image.fromarray(pixels)
    grey.info = {name: value for name, value in picture.info.items() if name != "transparency"}
    return grey


def _on_white(picture: Image.Image) -> Pixels:
    """The picture upright, as RGB. Pillow keeps a single transparent colour in mind when it drops alpha."""
    rgb = _upright(picture).convert("RGB")
    pixels = np.array(rgb)
    if rgb.info.get("transparency") is not None:
        pixels[np.asarray(rgb.convert("RGBA"))[..., 3] == 0] = WHITE
    return pixels


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except (SyntaxError, ValueError, KeyError, struct.error):  # of damaged EXIF: the pixels have been read
        return picture
