"""Extract the frames of MP3 and of bare AAC (ADTS) streams, without the bytes before, between and after them.

Twin: webruntime/src/input/audio/mpeg.ts.
"""

from collections.abc import Callable

Length = Callable[[bytes, int], int]
"""Returns the size in bytes of the frame at an offset of a content; 0 where no frame begins there."""

FIRST_FRAME_BYTES = 1 << 12
"""Bytes that are searched for the first frame."""

CERTAIN_FRAMES = 4
"""Consecutive frames that are no coincidence."""

NEXT_FRAME_BYTES = 1 << 16
"""Bytes that are searched for the next frame after other data."""

_KILOBITS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates in kbit/s by MPEG version and layer. Version 2 covers 2.5; its layer 2 covers layer 3."""

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Samples a second, by the version's bits."""

_TABLE_OFFSETS = {(3, False): 36, (3, True): 21, (2, False): 21, (2, True): 13, (0, False): 21, (0, True): 13}
"""Offset of the table of contents in its frame, by the version's bits and whether the audio is mono."""

_VBRI_OFFSET = 36
"""Offset of Fraunhofer's table, in all versions."""


def end_of_tags(content: bytes) -> int:
    """Return the offset after the ID3 tags at the beginning."""
    start = 0
    while content[start : start + 3] == b"ID3" and len(content) >= start + 10:
        size = 0
        for byte in content[start + 6 : start + 10]:
            size = size << 7 | byte & 0x7F
        start += 10 + size
    return start


def mpeg_frames(content: bytes, start: int, searched: bool = False) -> tuple[str, bytes] | None:
    """Return ffmpeg's name of the kind ("mp3" or "aac") and the whole frames from `start` on; None for other kinds.

    The first frame is at `start`, after zeros if any; where `searched`, up to 4 KiB later. An MP3's table of contents
    is
    kept in the first frame only: ffmpeg reads it there, and would play tables in later frames.
    """
    while content.startswith(b"\0", start):
        start += 1
    for kind, length in _KINDS.items():
        first = _first(content, start, length, FIRST_FRAME_BYTES if searched else 1)
        if first is not None:
            frames = _frames(content, first, length)
            kept = [frame for index, frame in enumerate(frames) if index == 0 or not _has_table(content, frame[0])]
            rest = _filled(content, frames[-1][1]) if kind == "mp3" else b""
            return kind, b"".join(content[begin:end] for begin, end in kept) + rest
    return None


def _filled(content: bytes, at: int) -> bytes:
    """Return the frame at `at`, filled with zeros where the file ends inside it, as ffmpeg reads it; else empty."""
    size = _mp3_length(content, at)
    return content[at:].ljust(size, b"\0") if at + size > len(content) else b""


def _first(content: bytes, start: int, length: Length, searched: int) -> int | None:
    """Return the offset of the first frame: `start`, or within `searched` bytes where enough frames follow at once."""
    at = content.find(b"\xff", start, start + searched)
    while at >= 0:
        end, count = _chain(content, at, length)
        if count == CERTAIN_FRAMES or (at == start and (count > 1 or (count == 1 and end == len(content)))):
            return at
        at = content.find(b"\xff", at + 1, start + searched)
    return None


def _chain(content: bytes, at: int, length: Length) -> tuple[int, int]:
    """Return the end and the number of consecutive whole frames from `at` on; at most `_CERTAIN` are counted."""
    count = 0
    while count < CERTAIN_FRAMES and (size := length(content, at)) and at + size <= len(content):
        at, count = at + size, count + 1
    return at, count


def _frames(content: bytes, start: int, length: Length) -> list[tuple[int, int]]:
    frames: list[tuple[int, int]] = []
    at: int | None = start
    while at is not None:
        size = length(content, at)
        if size and at + size <= len(content):
            frames.append((at, at + size))
            at += size
        else:
            at = _next_pair(content, at + 1, length)
    return frames


def _next_pair(content: bytes, start: int, length: Length) -> int | None:
    """Return the first offset from `start` on where two whole frames follow each other: one may be a coincidence."""
    at = content.find(b"\xff", start)
    while 0 <= at < start + NEXT_FRAME_BYTES:
        size = length(content, at)
        following = length(content, at + size) if size else 0
        if following and at + size + following <= len(content):
            return at
        at = content.find(b"\xff", at + 1)
    return None


def _mp3_length(content: bytes, at: int) -> int:
    header = content[at : at + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bits, speed, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bits in (0, 15) or speed == 3:
        return 0
    rate = _RATES[version][speed]
    rates = _KILOBITS[1, layer] if version == 3 else _KILOBITS[2, min(layer, 2)]
    if layer == 1:
        return (12_000 * rates[bits] // rate + padding) * 4
    return (72_000 if layer == 3 and version != 3 else 144_000) * rates[bits] // rate + padding


def _adts_length(content: bytes, at: int) -> int:
    header = content[at : at + 7]
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0


def _has_table(content: bytes, frame: int) -> bool:
    offset = _TABLE_OFFSETS.get((content[frame + 1] >> 3 & 3, content[frame + 3] >> 6 == 3), 0)
    table, other = content[frame + offset :][:4], content[frame + _VBRI_OFFSET :][:4]
    return table in (b"Xing", b"Info") or other == b"VBRI"


_KINDS: dict[str, Length] = {"mp3": _mp3_length, "aac": _adts_length}
