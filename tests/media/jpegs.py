"""Kinds of JPEG files."""

from PIL import Image

from tests.media.drawing import Draw, orientation
from tests.media.images import red_for_blue, saved, turned


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
    return saved(draw.image(), format="JPEG", quality=int(draw.random.integers(30, 98)), **options)


def grey_jpeg(draw: Draw) -> bytes:
    return saved(draw.image(1), format="JPEG", progressive=draw.choice(False, True))


def cmyk_jpeg(draw: Draw) -> bytes:
    """With black, whose Adobe marker says inverted CMYK or YCCK, or that has no such marker."""
    cmyk = Image.fromarray(draw.pixels(4), mode="CMYK")
    content = saved(cmyk, format="JPEG", quality=90, progressive=draw.choice(False, True))
    marker = content.index(b"\xff\xee")
    end = marker + 2 + int.from_bytes(content[marker + 2 : marker + 4], "big")
    as_ycck = content[: end - 1] + b"\x02" + content[end:]
    changed: bytes = draw.choice(content, as_ycck, content[:marker] + content[end:])
    return changed


def several_in_one_jpeg(draw: Draw) -> bytes:
    """A photo with others behind it, as phones store depth and brightness."""
    first = draw.image()
    return saved(
        first, format="MPO", save_all=True, append_images=[first.rotate(180)], exif=turned(orientation(draw.seed))
    )
