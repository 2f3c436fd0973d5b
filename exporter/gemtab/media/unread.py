"""Image formats that are recognised but not read. `npm run gen` writes the same table for the tab."""

UNREAD = (
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL ", "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF-", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML, such as SVG"),
)
"""Offset of a format's mark, the mark, and the format's name."""


def unread_format(content: bytes) -> str | None:
    """Return the name of the format in which the bytes begin; None for formats not in the list."""
    names = (name for offset, magic, name in UNREAD if content.startswith(magic, offset))
    return next(names, None)
