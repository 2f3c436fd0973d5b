"""WAVE files, written by hand: libraries do not write what is wrong."""

import struct

import numpy as np

from tests.media.audio_files import Channels
from tests.media.recorded import Mono, Recording, audio

_INTEGERS = {8: "u1", 16: "<i2", 32: "<i4"}


def pcm(samples: Channels, bits: int) -> tuple[bytes, Mono]:
    """Bytes of whole numbers of so many bits, interleaved, and the mean of what they stand for."""
    whole = np.round(samples.T.astype(np.float64) * (1 << bits - 1)).astype(np.int64)
    if bits == 8:
        data = (whole + 128).astype("u1").tobytes()
    elif bits == 24:
        data = whole.astype("<i4").reshape(-1, 1).view("u1")[:, :3].tobytes()
    else:
        data = whole.astype(_INTEGERS[bits]).tobytes()
    return data, (whole / (1 << bits - 1)).mean(axis=1).astype(np.float32)


def floats(samples: Channels, bits: int) -> tuple[bytes, Mono]:
    values = samples.T.astype(f"<f{bits // 8}")
    return values.tobytes(), values.mean(axis=1, dtype=np.float64).astype(np.float32)


def law(samples: Channels, letter: str) -> tuple[bytes, Mono]:
    """Bytes of A-law or mu-law (`letter` a or u), and the mean of what ITU-T G.711 says that they stand for."""
    table = np.array([_G711[letter](code) for code in range(256)]) / 32768
    order = np.argsort(table)
    nearest = order[np.clip(np.searchsorted(table[order], samples.T), 0, 255)]
    return nearest.astype("u1").tobytes(), table[nearest].mean(axis=1).astype(np.float32)


def _mu(code: int) -> int:
    code = ~code & 0xFF
    size = ((code & 15) << 3) + 0x84 << (code >> 4 & 7)
    return 0x84 - size if code & 0x80 else size - 0x84


def _a(code: int) -> int:
    code ^= 0x55
    exponent, size = code >> 4 & 7, (code & 15) << 4
    size = size + 8 if exponent == 0 else size + 0x108 << exponent - 1
    return size if code & 0x80 else -size


_G711 = {"a": _a, "u": _mu}


def layout(tag: int, channels: int, rate: int, bits: int) -> bytes:
    """The body of a chunk "fmt "."""
    block = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)


def extensible(tag: int, channels: int, rate: int, bits: int) -> bytes:
    rest = bytes.fromhex("000000001000800000aa00389b71")
    return layout(0xFFFE, channels, rate, bits) + struct.pack("<HHIH", 22, bits, (1 << channels) - 1, tag) + rest


def chunk(name: bytes, body: bytes, size: int | None = None, padded: bool = True) -> bytes:
    """A chunk of RIFF, with another length than its own where `size` is given."""
    padding = b"\0" if padded and len(body) % 2 else b""
    return name + struct.pack("<I", len(body) if size is None else size) + body + padding


def riff(chunks: bytes, size: int | None = None, kind: bytes = b"RIFF") -> bytes:
    return kind + struct.pack("<I", len(chunks) + 4 if size is None else size) + b"WAVE" + chunks


LIST = chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 6) + b"maker\0")


def wave_formats(seed: int) -> Recording:
    """Every format of samples, plain and extensible."""
    formats = [*((1, bits) for bits in (8, 16, 24, 32)), (3, 32), (3, 64), (6, 8), (7, 8)]
    tag, bits = formats[seed % len(formats)]
    rate, channels = [16_000, 44_100, 48_000][seed % 3], 1 + seed % 2
    samples = audio(seed, rate, channels)
    data, mean = {1: pcm, 3: floats}[tag](samples, bits) if tag in (1, 3) else law(samples, {6: "a", 7: "u"}[tag])
    head = (extensible if seed // len(formats) % 2 else layout)(tag, channels, rate, bits)
    return Recording(f"tag {tag}, {bits} bits", riff(chunk(b"fmt ", head) + chunk(b"data", data)), mean, rate)


SIZES = [
    (0xFFFFFFFF, 0xFFFFFFFF),
    (0x7FFFFFFF, 0x7FFFFFFF),
    (0x7FFFF024, 0x7FFFF000),
    (0x80000024, 0x80000000),
    (0, 0),
    (0, None),
    (None, 0),
    (0x80000024, None),
    (4, None),
    (None, 0x7FFFFF00),
    (36, 1 << 20),
]
"""Lengths of the file and of its data in the header; None for the right one."""


def wave_sizes(seed: int) -> Recording:
    """Placeholders for sizes that were not known when the header was written."""
    whole, size = SIZES[seed % len(SIZES)]
    bits = [16, 8, 24][seed % 3]
    data, mean = pcm(audio(seed, 16_000), bits)
    before = chunk(b"fmt ", layout(1, 1, 16_000, bits)) + (LIST if seed % 2 else b"")
    content = riff(before + chunk(b"data", data, size, padded=False), whole)
    return Recording(f"sizes {whole}, {size}", content, mean, 16_000)


def wave_chunks(seed: int) -> Recording:
    """Chunks before and behind the data, odd ones without their padding, RF64, BW64, bytes that belong to nothing."""
    data, mean = pcm(audio(seed, 16_000), [8, 24, 16][seed % 3])
    head = chunk(b"fmt ", layout(1, 1, 16_000, [8, 24, 16][seed % 3]))
    odd = chunk(b"note", b"odd", padded=seed % 2 == 0)
    long = chunk(b"ds64", struct.pack("<QQQI", 0, len(data), len(mean), 0))
    body = chunk(b"data", data)
    contents = {
        "LIST behind": riff(head + body + LIST),
        "odd chunks": riff(odd + head + odd + body),
        "no padding": riff(head + chunk(b"data", data, padded=False)),
        "trailing bytes": riff(head + body) + b"\0\1\2\3" * 9,
        "RF64": riff(long + head + chunk(b"data", data, 0xFFFFFFFF) + LIST, 0xFFFFFFFF, b"RF64"),
        "BW64": riff(long + head + chunk(b"data", data, 0xFFFFFFFF) + LIST, 0xFFFFFFFF, b"BW64"),
        "ID3 before": b"ID3\4\0\0\0\0\0\5maker" + riff(head + body),
    }
    name = list(contents)[seed % len(contents)]
    return Recording(name, contents[name], mean, 16_000)


def wave_rates(seed: int) -> Recording:
    """Odd rates and numbers of channels."""
    rate = [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 12_345, 192_000][seed % 8]
    channels = [1, 2, 6, 3][seed % 4]
    data, mean = pcm(audio(seed, rate, channels, most=1.0), 16)
    content = riff(chunk(b"fmt ", layout(1, channels, rate, 16)) + chunk(b"data", data))
    return Recording(f"{channels} channels at {rate}", content, mean, rate)
