"""Detect truncated video and audio files. Decoders read the part that exists and report no error.

Twin: webruntime/src/input/video/whole.ts.
"""

from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
"""Ids of the header with which Matroska and WebM begin, and of the element that contains everything else."""


def is_whole_file(file: BinaryIO) -> bool:
    """Whether the file has all its bytes; False where an MP4, MOV, Matroska or WebM file declares more than it has."""
    size = file.seek(0, 2)
    head = _read(file, 0, 8)
    if head[:4] == _EBML:
        return _whole_matroska(file, size)
    return head[4:8] != b"ftyp" or _whole_boxes(file, size)


def _whole_boxes(file: BinaryIO, size: int) -> bool:
    """Whether the boxes of an MP4 fill the file. Length 0 means "to the end"; length 1 means that 8 bytes after the
    name have it."""
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
    """Return the offset after the variable-length number at `at`, and its value; None for "unknown" (all ones)."""
    content = _read(file, at, 8)
    width = 9 - content[0].bit_length() if content and content[0] else 1
    ones = (1 << 7 * width) - 1
    value = int.from_bytes(content[:width], "big") & ones
    return at + width, None if value == ones else value


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)
