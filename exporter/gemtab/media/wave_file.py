"""Rewrite WAVE files with their true sizes: programs that stream leave placeholders in the header.

Twin: webruntime/src/input/audio/wave.ts.
"""

from dataclasses import dataclass

WAVE_KINDS = (b"RIFF", b"RF64", b"BW64")
"""First bytes of WAVE files."""

WAVE_CHUNKS = (b"fmt ", b"data", b"LIST", b"fact", b"bext", b"JUNK", b"id3 ")
"""Chunks that may follow a chunk of odd length without the padding byte between."""

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SAMPLED = {_PCM, _FLOAT, 6, 7}
"""Format tags of plain samples: integers, floats, A-law and mu-law."""

_UNKNOWN = 0xFFFFFFFF
"""Placeholder for a length that is in the chunk ds64, or unknown."""


@dataclass(frozen=True)
class _Chunks:
    """The content of the chunk "fmt ", and the range of the samples in the file."""

    format: bytes
    start: int
    end: int


def is_wave(content: bytes) -> bool:
    """Whether `content` begins as a little-endian WAVE file."""
    return content[:4] in WAVE_KINDS and content[8:12] == b"WAVE"


def clean_wave(content: bytes) -> bytes:
    """Return the WAVE file with only format and data, at their true lengths; `content` where either is missing.

    Data with length 0, or longer than the file, ends where the file ends, as players read it.
    """
    chunks = _find(content)
    if chunks is None:
        return content
    header, block = _plain_format(chunks.format)
    length = chunks.end - chunks.start
    data = content[chunks.start : chunks.end - length % block]
    body = b"WAVEfmt " + _size(len(header)) + header + b"data" + _size(len(data)) + data
    return b"RIFF" + _size(len(body)) + body


def _find(content: bytes) -> _Chunks | None:
    at, long, layout, data = 12, 0, b"", None
    while at + 8 <= len(content) and not (layout and data):
        name, size, body = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little"), at + 8
        if name == b"ds64":
            long = int.from_bytes(content[body + 8 : body + 16], "little")
        elif name == b"fmt ":
            layout = content[body : body + size]
        elif name == b"data":
            size = long if size == _UNKNOWN else size
            data = body, body + size if 0 < size <= len(content) - body else len(content)
        at = _next(content, body, size)
    return _Chunks(layout, *data) if len(layout) >= 14 and data else None


def _next(content: bytes, body: int, size: int) -> int:
    """Return the offset of the chunk after one of `size` bytes: writers that keep the rule pad odd chunks by a byte."""
    end = body + size
    return end if content[end : end + 4] in WAVE_CHUNKS else end + size % 2


def _plain_format(layout: bytes) -> tuple[bytes, int]:
    """Return the format without extensions, and the bytes of one sample of all channels; other formats are
    unchanged."""
    tag, channels, bits = (int.from_bytes(layout[at : at + 2], "little") for at in (0, 2, 14))
    if tag == _EXTENSIBLE and len(layout) >= 26:
        tag = int.from_bytes(layout[24:26], "little")
    width = 1 if tag in (6, 7) or len(layout) < 16 else -(-bits // 8)
    block = channels * width
    if tag not in _SAMPLED or not block:
        return layout, 1
    rate = int.from_bytes(layout[4:8], "little")
    numbers = ((tag, 2), (channels, 2), (rate, 4), (rate * block & _UNKNOWN, 4), (block, 2), (8 * width, 2))
    return b"".join(value.to_bytes(size, "little") for value, size in numbers), block


def _size(value: int) -> bytes:
    return min(value, _UNKNOWN).to_bytes(4, "little")
