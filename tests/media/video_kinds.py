"""The kinds of videos that people have, as functions of a seed: what `playwright_tests/corpus` draws from."""

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from tests.media.videos import encoded_apart, frame_of, frame_pixels, video_file

Edit = tuple[int, int]
"""How long a part is shown, in ticks of the movie, and where it begins in the track: -1 where nothing is shown."""


def cut(content: bytes, start: float, end: float | None = None, container: str = "mp4", **options: str) -> bytes:
    """The packets without those after `end`, shown from `start` on: what phones and `ffmpeg -ss -c copy` write."""
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(content), "r") as source,
        av.open(file, "w", format=container, options=options) as output,
    ):
        track = source.streams.video[0]
        stream = output.add_stream_from_template(track)
        assert track.time_base is not None
        offset = int(start / track.time_base)
        for packet in source.demux(track):
            if packet.dts is None or packet.pts is None:
                continue
            if end is not None and packet.pts * track.time_base >= end:
                continue
            packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
            packet.stream = stream
            output.mux(packet)
    return file.getvalue()


def edited(mp4: bytes, edits: list[Edit]) -> bytes:
    """The video with another edit list. Its tables must follow its frames, as FFmpeg writes them."""
    at = mp4.index(b"elst")
    size = int.from_bytes(mp4[at - 4 : at], "big")
    entries = b"".join(struct.pack(">IiI", duration, start, 1 << 16) for duration, start in edits)
    content = b"elst" + struct.pack(">II", 0, len(edits)) + entries
    changed = mp4[: at - 4] + struct.pack(">I", len(content) + 4) + content + mp4[at - 4 + size :]
    for name in (b"edts", b"trak", b"moov"):
        box = changed.rindex(name, 0, at)
        length = int.from_bytes(changed[box - 4 : box], "big") + len(content) + 4 - size
        changed = changed[: box - 4] + struct.pack(">I", length) + changed[box:]
    return changed


def rotated(mp4: bytes, degrees: int) -> bytes:
    """The video with the note in its track header that it is to be turned clockwise."""
    one = 1 << 16
    rows = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    matrix = mp4.index(b"tkhd") + 4 + 40
    values = (rows[0], rows[1], 0, rows[2], rows[3], 0, 0, 0, 1 << 30)
    return mp4[:matrix] + b"".join(value.to_bytes(4, "big", signed=True) for value in values) + mp4[matrix + 36 :]


def irregular(container: str, codec: str, seed: int) -> bytes:
    """Frames that are shown for 20 to 400 ms each."""
    random = np.random.default_rng(seed)
    size, file = (96, 128), io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=30)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        time = 0
        for index in range(24):
            frame = frame_of(frame_pixels(index, 24, size), "yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            output.mux(stream.encode(frame))
            time += int(random.integers(20, 400))
        output.mux(stream.encode())
    return file.getvalue()


def h264(seed: int, container: str = "mp4", **options: Any) -> bytes:
    width = 96 + 16 * (seed % 3)
    return video_file(container, "libx264", frames=48, rate=24, size=(96, width), crf="20", g="12", **options)


def plain(seed: int) -> bytes:
    containers = ("mp4", "mov", "matroska", "mp4")
    return h264(seed, containers[seed % 4], bf=str(seed % 3))


def hidden_start(seed: int) -> bytes:
    return cut(h264(seed, bf=str(seed % 3)), (0.6, 1.2, 0.27, 1.51)[seed % 4], container=("mp4", "mov")[seed % 2])


def other_edits(seed: int) -> bytes:
    """An end that is hidden, two parts, a part that comes twice, and a beginning in which nothing is shown."""
    content = h264(seed, bf=str(seed % 3))
    edits: list[list[Edit]] = [
        [(700, 6144)],
        [(500, 1024), (700, 12288)],
        [(400, 9216), (400, 9216)],
        [(250, -1), (900, 3072)],
    ]
    return edited(content, edits[seed % 4])


def in_pieces(seed: int) -> bytes:
    content = h264(seed, bf=str(seed % 3))
    return cut(
        content, (0, 0.8)[seed % 2], movflags=("frag_keyframe+delay_moov", "frag_keyframe+empty_moov")[seed // 2 % 2]
    )


def with_alpha(seed: int) -> bytes:
    codec = ("libvpx-vp9", "libvpx")[seed % 2]
    options: dict[str, Any] = {"crf": "20"} if seed % 2 == 0 else {"b": "1M", "auto-alt-ref": "0"}
    return video_file("webm", codec, frames=24, size=(96, 128), pix_fmt="yuva420p", **options)


def ten_bits(seed: int) -> bytes:
    if seed % 2 == 0:
        return encoded_apart("libsvtav1", frames=16, size=(96, 128), pix_fmt="yuv420p10le", crf="30")
    format_ = ("yuv420p10le", "yuv422p10le", "yuv444p10le")[seed // 2 % 3]
    return video_file("mp4", "libx264", frames=16, size=(96, 128), pix_fmt=format_, crf="20", full_range=seed % 4 == 1)


def fine_chroma(seed: int) -> bytes:
    codec, container = (("libvpx-vp9", "webm"), ("libx264", "mp4"))[seed % 2]
    format_ = ("yuv444p", "yuv444p", "yuv422p", "yuv422p")[seed % 4]
    return video_file(container, codec, frames=16, size=(96, 128), pix_fmt=format_, crf="20", full_range=seed % 3 == 1)


def odd_sizes(seed: int) -> bytes:
    size = ((95, 128), (96, 131), (97, 133))[seed % 3]
    return video_file("webm", "libvpx-vp9", frames=16, size=size, crf="20")


def varying_rate(seed: int) -> bytes:
    return irregular(*(("mp4", "libx264"), ("webm", "libvpx"), ("matroska", "libx264"))[seed % 3], seed)


def turned_video(seed: int) -> bytes:
    return rotated(h264(seed), (90, 180, 270)[seed % 3])


KINDS: dict[str, Callable[[int], bytes]] = {
    "MP4, MOV, Matroska": plain,
    "a hidden beginning": hidden_start,
    "other edit lists": other_edits,
    "MP4 in pieces": in_pieces,
    "alpha": with_alpha,
    "10 bits": ten_bits,
    "4:4:4 and 4:2:2": fine_chroma,
    "odd sizes": odd_sizes,
    "varying frame rate": varying_rate,
    "turned": turned_video,
}


def by_ffmpeg(content: bytes, count: int) -> tuple[list[Any], list[float]]:
    """So many frames of all that FFmpeg shows, upright, and the seconds from the first: by decoding all in order."""
    with av.open(io.BytesIO(content), "r") as container:
        frames = [(float(frame.time or 0), frame) for frame in container.decode(video=0)]
        frames = [pair for pair in frames if pair[0] >= 0]  # FFmpeg shows what is hidden in a file in pieces
        chosen = [frames[step * len(frames) // min(count, len(frames))] for step in range(min(count, len(frames)))]
        upright = [np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90) for _, frame in chosen]
        return upright, [time - chosen[0][0] for time, _ in chosen]


def processed(pixels: Any, budget: int) -> tuple[Any, Any]:
    """Patches and positions of a frame by transformers' image processor."""
    out = Gemma4ImageProcessorPil(max_soft_tokens=budget)(Image.fromarray(pixels), return_tensors="np")
    real = out["image_position_ids"][0][:, 0] >= 0
    return out["pixel_values"][0][real], out["image_position_ids"][0][real]
