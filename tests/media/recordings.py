"""Recordings as users bring them, made from seeds: headers that are wrong, tags, missing ends, streams of a browser.

Each comes with the samples that it holds. Of lossless formats these are computed; of others they are ffmpeg's, decoded
from the file before anything was done to it, or by itself where a part of it was taken away.
"""

import struct
import zlib
from collections.abc import Callable

import numpy as np

from tests.media.audio_files import encode, film
from tests.media.recorded import Recording, audio, decoded, ogg_pages
from tests.media.waves import wave_chunks, wave_formats, wave_rates, wave_sizes

# FLAC


def flac_of(seed: int, container: str = "flac", rate: int | None = None) -> Recording:
    """FLAC whose last frame is short, or silent."""
    rate = rate or [16_000, 44_100, 8_000, 48_000][seed % 4]
    samples = audio(seed, rate, 1 + seed % 2)
    if seed % 3 == 0:
        samples[:, -rate // 3 :] = 0
    elif seed % 3 == 1:
        blocks = 4608 if rate > 16_000 else 2304
        samples = samples[:, : samples.shape[1] // blocks * blocks + 1 + seed % 5]
    whole = np.round(samples * 32768) / 32768
    content = encode(whole.astype(np.float32), rate, container, "flac")
    return Recording(f"{samples.shape[1]} samples", content, whole.mean(axis=0).astype(np.float32), rate)


def flac_ends(seed: int) -> Recording:
    return flac_of(seed)


def flac_tags(tag: bytes) -> bytes:
    """A block of one tag."""
    tags = struct.pack("<III", 0, 1, len(tag)) + tag
    return b"\4" + len(tags).to_bytes(3, "big") + tags


def flac_wrapped(seed: int) -> Recording:
    """FLAC between tags, with bytes behind it, and in Ogg with or without its end mark."""
    plain = flac_of(seed)
    tag = b"ID3\4\0\0\0\0\0\5maker"
    contents: dict[str, Callable[[], bytes]] = {
        "ID3 before": lambda: tag + plain.content,
        "in Ogg": lambda: flac_of(seed, "ogg").content,
        "ID3v1 behind": lambda: plain.content + b"TAG" + bytes(125),
        "in Ogg without an end mark": lambda: unmarked(flac_of(seed, "ogg").content),
        "zeros behind": lambda: plain.content + bytes(3000),
        "text behind": lambda: plain.content + b"and so on " * 50,
        "Latin-1 tags": lambda: plain.content[:42] + flac_tags(b"TITLE=caf\xe9") + plain.content[42:],
        "damaged tags": lambda: plain.content[:42] + b"\4\0\0\x14" + b"\xff" * 20 + plain.content[42:],
    }
    name = list(contents)[seed % len(contents)]
    return Recording(name, contents[name](), plain.samples, plain.rate)


# Ogg and WebM


def opus(seed: int, rate: int, container: str = "ogg", **options: str) -> bytes:
    speech = {"application": "voip", "b": "20000"} if seed % 2 == 0 else {}
    samples = audio(seed, rate, 1 + seed // 2 % 2)
    return encode(samples, rate, container, "libopus", speech, options)


def opus_rates(seed: int) -> Recording:
    """Opus as speech and as music, made from audio of every rate it takes. It always comes out at 48 kHz."""
    rate = [16_000, 24_000, 8_000, 48_000, 12_000][seed % 5]
    content = opus(seed, rate)
    return Recording(f"from {rate}", content, decoded(content, "libopus"), 48_000)


def ogg_ends(seed: int) -> Recording:
    """Ogg without its end mark, cut at a page or in one, and with bytes behind it."""
    rate = 48_000
    samples = audio(seed, rate, 2, least=2.5, most=4)
    content = encode(samples, rate, "ogg", "libopus" if seed % 2 else "vorbis")
    decoder = "libopus" if seed % 2 else None
    pages = ogg_pages(content)
    kind = ["no end mark", "cut at a page", "cut in a page", "trailing bytes"][seed // 2 % 4]
    if kind == "trailing bytes":
        return Recording(kind, content + b"OggOgg\0\1" * 20, decoded(content, decoder), rate)
    if kind == "no end mark":
        content = unmarked(content)
    else:
        content = b"".join(pages[:-1]) + (pages[-1][:-7] if kind == "cut in a page" else b"")
    return Recording(kind, content, decoded(content, decoder), rate)


def chained(seed: int) -> Recording:
    """Recordings of Ogg one behind the other."""
    codec = ["libopus", "vorbis", "flac"][seed % 3]
    decoder = "libopus" if seed % 3 == 0 else None
    parts = [encode(audio(seed + 100 * n, 48_000, 2), 48_000, "ogg", codec) for n in range(2 + seed % 2)]
    samples = np.concatenate([decoded(part, decoder) for part in parts])
    return Recording(f"{len(parts)} of {codec}", b"".join(parts), samples, 48_000)


def streamed(seed: int) -> Recording:
    """WebM as MediaRecorder writes it: no duration, lengths that are not known; some are cut."""
    codec = "libopus" if seed % 3 else "vorbis"
    samples = audio(seed, 48_000, 2 if seed % 3 == 0 else 1 + seed % 2, least=1, most=6)
    content = encode(samples, 48_000, "webm", codec, {}, {"live": "1"})
    if seed % 2:
        content = content[: len(content) * (60 + seed) // 100]
    return Recording(f"{codec} {len(content)} bytes", content, decoded(content, codec if seed % 3 else None), 48_000)


def unmarked(content: bytes) -> bytes:
    """The Ogg file with no mark on its last page."""
    *pages, last = ogg_pages(content)
    blank = last[:5] + bytes([last[5] & ~4]) + last[6:22] + bytes(4) + last[26:]
    return b"".join(pages) + blank[:22] + struct.pack("<I", ogg_checksum(blank)) + blank[26:]


def ogg_checksum(page: bytes) -> int:
    """CRC-32 with the bits of each byte the other way round than zlib's, which begins with 0 and ends as it is."""
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in page)
    return int(f"{zlib.crc32(turned, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)


# MP3 and AAC


def mp3(seed: int, rate: int | None = None) -> tuple[bytes, int]:
    rate = rate or [44_100, 48_000, 16_000, 22_050, 8_000, 32_000][seed % 6]
    return encode(audio(seed, rate, 1 + seed % 2), rate, "mp3", "libmp3lame"), rate


APE = b"APETAGEX" + struct.pack("<4I", 2000, 72, 1, 0x80000000) + bytes(8)


ID3V1 = b"TAG" + bytes(125)


def mp3_tags(seed: int) -> Recording:
    """MP3 with tags before and behind it, and bytes that are neither."""
    content, rate = mp3(seed)
    behind = [b"", ID3V1, APE[:0] + b"x" * 40 + APE + ID3V1, b"and so on " * 40, b"\xff\xfb" + bytes(900)][seed % 5]
    before = [b"", b"ID3\4\0\0\0\0\2\0" + bytes(256)][seed % 2]
    return Recording(f"{len(before)} before, {len(behind)} behind", before + content + behind, decoded(content), rate)


def mp3_lengths(seed: int) -> Recording:
    """MP3 with less than its table of contents says, or with more, or with Fraunhofer's table, or none."""
    content, rate = mp3(seed)
    kind = ["cut", "cut far", "Fraunhofer's table", "no table"][seed % 4]
    if kind.startswith("cut"):
        content = content[: -97 * (seed + 1)] if kind == "cut" else content[: len(content) * 2 // 5]
        return Recording(kind, content, decoded(content), rate)
    start = content.index(b"\xff", 10 + int.from_bytes(content[8:10], "big"))
    end = content.index(content[start : start + 2], start + 2)
    audio_alone = content[end:]
    if kind == "no table":
        return Recording(kind, audio_alone, decoded(audio_alone), rate)
    table = bytearray(content[start : start + 4] + bytes(end - start - 4))
    table[36:58] = b"VBRI" + struct.pack(">HHHII2x", 1, 0, 75, len(content), 40)
    return Recording(kind, bytes(table) + audio_alone, decoded(audio_alone), rate)


def aac(seed: int) -> Recording:
    """AAC in MP4, of which the end of the last frame is not played, and bare, with tags and bytes around it."""
    rate = [44_100, 48_000, 16_000, 8_000, 96_000][seed % 5]
    samples = audio(seed, rate, 1 + seed // 2 % 2)
    if seed % 2 == 0:
        content = encode(samples, rate, "mp4", "aac")
        return Recording("MP4", content, decoded(content)[: samples.shape[1]], rate)
    content = encode(samples, rate, "adts", "aac")
    behind = [b"", ID3V1, content[:50]][seed // 2 % 3]
    return Recording("bare", b"ID3\4\0\0\0\0\0\5maker" + content + behind, decoded(content), rate)


def containers(seed: int) -> Recording:
    """Audio in MP4, MOV, Matroska and 3GP as programs write it."""
    container, codec = [
        ("mp4", "libopus"),
        ("matroska", "aac"),
        ("mov", "pcm_s16be"),
        ("matroska", "libmp3lame"),
        ("mp4", "flac"),
        ("matroska", "pcm_s16le"),
        ("mov", "aac"),
        ("matroska", "libopus"),
    ][seed % 8]
    rate = 48_000 if codec == "libopus" else [44_100, 16_000][seed // 8 % 2]
    samples = np.asarray(np.round(audio(seed, rate) * 32768) / 32768, np.float32)
    content = encode(samples, rate, container, codec)
    lossless = codec not in ("libopus", "aac", "libmp3lame")
    found = samples[0] if lossless else decoded(content, codec if codec == "libopus" else None)
    # Matroska says nothing of what the encoder of AAC has put behind the audio in the last frame, and MP4 does.
    end = None if (container, codec) == ("matroska", "aac") else samples.shape[1]
    return Recording(f"{codec} in {container}", content, found[:end], rate)


def edit(content: bytes) -> tuple[int, int]:
    """The one entry of an MP4's only edit list: its length in thousandths of a second, and its start in the track."""
    at = content.index(b"elst")
    assert content[at + 4] == 0 and content[at + 8 : at + 12] == b"\0\0\0\1"
    return struct.unpack(">Ii", content[at + 12 : at + 20])


def edited(content: bytes, length: int, start: int) -> bytes:
    """The MP4 with another entry."""
    at = content.index(b"elst") + 12
    return content[:at] + struct.pack(">Ii", length, start) + content[at + 8 :]


def trimmed(seed: int) -> Recording:
    """Audio in MP4 of which an editor has cut away the beginning, the end or both without encoding it anew."""
    codec = ["aac", "libopus", "flac"][seed % 3]
    samples = np.asarray(np.round(audio(seed, 48_000, most=3, least=2) * 32768) / 32768, np.float32)
    content = encode(samples, 48_000, "mp4", codec)
    delay = edit(content)[1]
    whole = samples[0] if codec == "flac" else decoded(content, "libopus" if codec == "libopus" else None)
    start, length = [(0, 900), (31_001, 1_000), (31_001, 5_000), (7, 1_500)][seed % 4]
    found = whole[start : samples.shape[1]][: 48 * length]
    return Recording(f"{codec} from {start}, {length} ms", edited(content, length, start + delay), found, 48_000)


def films(seed: int) -> Recording:
    """The audio tracks of video files, in which the images go on when the audio has ended."""
    container, codec, video_codec = [
        ("webm", "libopus", "libvpx"),
        ("mp4", "aac", "mpeg4"),
        ("matroska", "libmp3lame", "mpeg4"),
        ("mp4", "libopus", "mpeg4"),
        ("mov", "pcm_s16le", "mpeg4"),
        ("matroska", "flac", "mpeg4"),
    ][seed % 6]
    rate = 48_000 if codec == "libopus" else 44_100
    samples = np.asarray(np.round(audio(seed, rate) * 32768) / 32768, np.float32)
    content = film(samples, rate, container, codec, video_codec, 28)
    lossless = codec in ("pcm_s16le", "flac")
    found = samples[0] if lossless else decoded(content, codec if codec == "libopus" else None)
    return Recording(f"{codec} in {container}", content, found[: samples.shape[1]], rate)


KINDS: dict[str, Callable[[int], Recording]] = {
    "WAV: formats of samples": wave_formats,
    "WAV: placeholders for sizes": wave_sizes,
    "WAV: chunks, trailing bytes, RF64": wave_chunks,
    "WAV: rates and channels": wave_rates,
    "FLAC: silent and short ends": flac_ends,
    "FLAC: tags, trailing bytes, in Ogg": flac_wrapped,
    "Opus: speech and music of all rates": opus_rates,
    "Ogg: no end mark, cuts, trailing bytes": ogg_ends,
    "Ogg: chained": chained,
    "WebM: as MediaRecorder writes": streamed,
    "MP3: tags and trailing bytes": mp3_tags,
    "MP3: shorter than its table, other tables": mp3_lengths,
    "AAC: MP4 and bare": aac,
    "MP4: cut by an edit list": trimmed,
    "Matroska, MP4 and MOV: other codecs": containers,
    "Video files: their audio": films,
}
