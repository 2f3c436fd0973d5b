"""Whether all bytes of a clip are there. Decoders read what there is of a file that was cut off, and say nothing.

webruntime/src/input/video/whole.ts does the same.
"""

from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
"""What Matroska and WebM begin with: a header, and the element that holds all else."""


def is_whole_clip(file: BinaryIO) -> bool:
    """False where an MP4, MOV, Matroska or WebM file says itself that more should follow."""
    size = file.seek(0, 2)
    head = _read(file, 0, 8)
    if head[:4] == _EBML:
        return _whole_matroska(file, size)
    return head[4:8] != b"ftyp" or _whole_boxes(file, size)


def _whole_boxes(file: BinaryIO, size: int) -> bool:
    """The boxes of an MP4 fill the file. A length of 0 means "to the end", and 1 that it stands after the name."""
    start = 0
    while start < size:
        head = _read(file, start, 16)
        length = int.from_bytes(head[:4], "big")
        if length == 0:
            return True
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if len(head) < 8 or length < 8:
            return False
        start += length
    return start == size


def _whole_matroska(file: BinaryIO, size: int) -> bool:
    start, length = _number(file, len(_EBML))
    segment = start + (length or 0)
    if _read(file, segment, 4) != _SEGMENT:
        return False
    start, length = _number(file, segment + len(_SEGMENT))
    return length is None or start + length <= size


def _number(file: BinaryIO, at: int) -> tuple[int, int | None]:
    """Where the number of variable length at `at` ends, and its value: None where it says "unknown" (all ones)."""
    content = _read(file, at, 8)
    width = 9 - content[0].bit_length() if content and content[0] else 1
    ones = (1 << 7 * width) - 1
    value = int.from_bytes(content[:width], "big") & ones
    return at + width, None if value == ones else value


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)
