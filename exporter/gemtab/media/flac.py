"""Find where the last frame of a FLAC file ends. Bytes after that frame are not audio.

Twin: webruntime/src/input/audio/flac.ts.
"""

TAIL_BYTES = 1 << 18
"""Bytes at the end that are searched for the last frame."""

SHORTEST_FRAME = 10
"""Bytes of the shortest frame."""


def flac_end(content: bytes) -> int:
    """Return the offset after the last whole frame whose checksum is right; `len(content)` where no frame is found."""
    start = max(0, len(content) - TAIL_BYTES)
    tail = content[start:]
    cut = -1
    at = tail.rfind(b"\xff")
    while at >= 0:
        if _is_header(tail, at):
            ends = _checked(tail, at)
            if cut in ends:
                return start + cut
            if ends:
                return start + ends[-1]
            cut = at
        at = tail.rfind(b"\xff", 0, at)
    return len(content)


def _checked(tail: bytes, frame: int) -> list[int]:
    """Return the offsets at which the frame may end: there the checksum over the frame, its own checksum included, is
    0.

    Zeros after the frame keep the checksum 0. So does each of the two bytes of a checksum that is 0 itself.
    """
    check, zeros, ends = 0, 0, []
    for at in range(frame, len(tail)):
        check = _TABLE_16[check >> 8 ^ tail[at]] ^ check << 8 & 0xFFFF
        zeros = 0 if check else zeros + 1
        if 1 <= zeros <= 3 and at + 1 - frame >= SHORTEST_FRAME:
            ends.append(at + 1)
    return ends


def _is_header(tail: bytes, at: int) -> bool:
    """Whether a frame's header is at `at`, by its fixed bits and its checksum."""
    header = tail[at : at + 16]
    if len(header) < 6 or header[1] & 0xFE != 0xF8 or header[2] >> 4 == 0 or header[2] & 15 == 15:
        return False
    if header[3] >> 4 > 10 or header[3] & 1:
        return False
    # The number is coded as in UTF-8: the leading ones of the first byte count the bytes.
    number = max(1, 8 - (header[4] ^ 0xFF).bit_length())
    block = {6: 1, 7: 2}.get(header[2] >> 4, 0)
    rate = {12: 1, 13: 2, 14: 2}.get(header[2] & 15, 0)
    length = 4 + number + block + rate
    return length < len(header) and _crc8(header[:length]) == header[length]


def _crc8(content: bytes) -> int:
    check = 0
    for byte in content:
        check = _TABLE_8[check ^ byte]
    return check


def _table(polynomial: int, bits: int) -> list[int]:
    """Return the remainder of each byte by the polynomial."""
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> bits - 1 & 1 else 0)
            value &= (1 << bits) - 1
        table.append(value)
    return table


_TABLE_8 = _table(0x07, 8)
_TABLE_16 = _table(0x8005, 16)
