"""Whether all bytes of a sound file are there. Decoders play what there is of a file that was cut off, and say nothing.

Of other kinds than those below, the length that is declared is compared with the length that was decoded.
webruntime/src/input/audio/whole.ts does the same.
"""

from collections.abc import Callable

_STREAMED = {0, 0xFFFFFFFF}
"""Sizes in WAVE files that were written before their length was known."""

_XING_OFFSETS = {(3, False): 36, (3, True): 21, (2, False): 21, (2, True): 13, (0, False): 21, (0, True): 13}
"""Where the table of contents of an MP3 stands in its first frame, by version bits and whether it is mono."""

_END_OF_STREAM = 4
"""Flag of the last page of an Ogg file."""


def is_whole(content: bytes) -> bool:
    """False where a file says itself that more should follow."""
    return all(check(content) for check in _CHECKS)


def _whole_wave(content: bytes) -> bool:
    if content[:4] != b"RIFF":
        return True
    size = int.from_bytes(content[4:8], "little")
    return size in _STREAMED or size + 8 <= len(content)


def _whole_ogg(content: bytes) -> bool:
    """Its last page is complete and is marked as the last."""
    if content[:4] != b"OggS":
        return True
    page = content[content.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & _END_OF_STREAM:
        return False
    lengths = page[27 : 27 + page[26]]
    return len(page) >= 27 + page[26] + sum(lengths)


def _whole_mp3(content: bytes) -> bool:
    """As long as the table of contents in its first frame says, where there is one that does."""
    start = _after_id3(content)
    header = content[start : start + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return True
    offset = _XING_OFFSETS.get((header[1] >> 3 & 3, header[3] >> 6 == 3))
    if offset is None:
        return True
    table = content[start + offset : start + offset + 16]
    if table[:4] not in (b"Xing", b"Info") or len(table) < 16 or table[7] & 3 != 3:
        return True
    return start + int.from_bytes(table[12:16], "big") <= len(content)


def _after_id3(content: bytes) -> int:
    """Where the tags at the beginning of an MP3 end."""
    start = 0
    while content[start : start + 3] == b"ID3" and len(content) >= start + 10:
        size = 0
        for byte in content[start + 6 : start + 10]:
            size = size << 7 | byte & 0x7F
        start += 10 + size
    return start


_CHECKS: tuple[Callable[[bytes], bool], ...] = (_whole_wave, _whole_ogg, _whole_mp3)
