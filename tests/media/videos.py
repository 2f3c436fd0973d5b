"""Videos in the containers and codecs people have, made anew by every test run from one seed."""

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from tests.media.images import Array, scene


def video_file(
    container: str,
    codec: str,
    frames: int = 60,
    rate: Fraction | int = 24,
    size: tuple[int, int] = (144, 192),
    with_audio: bool = False,
    colours: int | None = None,
    full_range: bool = False,
    pix_fmt: str = "yuv420p",
    **options: str,
) -> bytes:
    """A scene that moves to the right by four pixels a frame, and changes its colours at half time. Formats with alpha
    get a disc of it."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=Fraction(rate), options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        if colours is not None:
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = colours
        if full_range:
            stream.codec_context.color_range = ColorRange.JPEG
        audio = output.add_stream("libopus", rate=48_000) if with_audio else None
        for index in range(frames):
            output.mux(stream.encode(frame_of(frame_pixels(index, frames, size), pix_fmt)))
        output.mux(stream.encode())
        if audio is not None:
            add_tone(output, audio, frames / rate)
    return file.getvalue()


def frame_of(pixels: Array, pix_fmt: str) -> av.VideoFrame:
    if not pix_fmt.startswith("yuva"):
        return av.VideoFrame.from_ndarray(pixels, format="rgb24")
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    alpha = np.where((y - 60) ** 2 + (x - 60) ** 2 < 50**2, 255, 40).astype(np.uint8)
    return av.VideoFrame.from_ndarray(np.dstack([pixels, alpha]), format="rgba")


def frame_pixels(index: int, frames: int, size: tuple[int, int]) -> Array:
    pixels = scene(*size, seed=2 + (2 * index >= frames))
    shifted: Array = np.roll(pixels, 4 * index, 1)
    return shifted


def add_tone(output: Any, stream: Any, seconds: float | Fraction) -> None:
    times = np.arange(round(48_000 * seconds)) / 48_000
    samples = np.sin(2 * np.pi * 440 * times).astype(np.float32)[None] / 4
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate = 48_000
    output.mux(stream.encode(frame))
    output.mux(stream.encode())


def sideways(mp4: bytes) -> bytes:
    """The video with the note in its track header that it is to be turned by 90 degrees clockwise."""
    matrix = mp4.index(b"tkhd") + 4 + 40
    turn = b"".join(value.to_bytes(4, "big", signed=True) for value in (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30))
    return mp4[:matrix] + turn + mp4[matrix + 36 :]


def audio_alone() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        add_tone(output, output.add_stream("libopus", rate=48_000), 1)
    return file.getvalue()


def in_unknown_codec(mp4: bytes) -> bytes:
    """The video with other names for its codec and the codec's settings."""
    return mp4.replace(b"avc1", b"zzz1").replace(b"avcC", b"zzzC")


def encoded_apart(codec: str, **options: Any) -> bytes:
    """An MP4, encoded by a process of its own: run as root, SVT-AV1 gives the thread that calls it the highest
    real-time priority and leaves it there, and all that comes later in the process starves the rest of the machine."""
    call = f"video_file('mp4', {codec!r}, **{options!r})"
    code = f"import sys; from tests.media.videos import video_file; sys.stdout.buffer.write({call})"
    root = Path(__file__).parents[2]
    return subprocess.run([sys.executable, "-c", code], cwd=root, check=True, stdout=subprocess.PIPE).stdout


def video_files() -> dict[str, bytes]:
    """File contents by file name, all of one scene but for what their names say."""
    h264 = video_file("mp4", "libx264", crf="20")
    return {
        "h264.mp4": h264,
        "sideways.mp4": sideways(h264),
        "av1.mp4": encoded_apart("libsvtav1", crf="30"),
        "vp9.webm": video_file("webm", "libvpx-vp9", crf="20"),
        "vp8.webm": video_file("webm", "libvpx", b="1M"),
        "with-audio.mp4": video_file("mp4", "libx264", with_audio=True),
        "ntsc.mp4": video_file("mp4", "libx264", frames=200, rate=Fraction(30_000, 1001)),
        "short.mp4": video_file("mp4", "libx264", frames=3),
        "bt709.mp4": video_file("mp4", "libx264", frames=9, colours=1),
        "bt2020.mp4": video_file("mp4", "libx264", frames=9, colours=9),
        "full-range.mp4": video_file("mp4", "libx264", frames=9, full_range=True),
        "odd-width.webm": video_file("webm", "libvpx-vp9", frames=9, size=(144, 193)),
        "keys.mp4": video_file("mp4", "libx264", frames=200, rate=10, g="8"),
    }
