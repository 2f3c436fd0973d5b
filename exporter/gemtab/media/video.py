"""Clips: a few frames of them, each a picture with its time. Importing this needs the extra `media`."""

import io
import math
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from gemtab.errors import MediaError, UsageError
from gemtab.media.images import ImageInputs, Pixels, check_size, image_inputs
from gemtab.media.limits import MOST_FILE_BYTES, MOST_FRAMES, MOST_SECONDS
from gemtab.media.rules import VideoRules
from gemtab.media.source import check_bytes, media_extra
from gemtab.media.whole_clip import is_whole_clip
from gemtab.regular import check_regular

with media_extra():
    import av
    from av.container import InputContainer
    from av.stream import Disposition
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


UNSPECIFIED = 2
"""FFmpeg's number for a matrix of colours that is not named."""


@dataclass(frozen=True)
class VideoInputs:
    """The frames chosen from a clip, when each is shown in seconds from the first, and that as "mm:ss"."""

    frames: list[ImageInputs]
    seconds: list[float]
    stamps: list[str]
    has_sound: bool


@dataclass(frozen=True)
class Timeline:
    """When a clip's frames are shown, in ticks and in order; and the ticks of those, hidden ones too, that can be
    decoded without any other. lead: how many ticks before its own time a key is to be sought."""

    shown: list[int]
    keys: list[int]
    lead: int


class _Packet(NamedTuple):
    """When a frame is shown and decoded, in ticks, and whether it needs no other one, and is shown to nobody. What is
    in it is not kept."""

    ticks: int
    decoded: int | None
    is_key: bool
    is_hidden: bool


def load_video(source: Path | bytes, rules: VideoRules, frames: int | None = None) -> VideoInputs:
    """`frames` of the clip in a file or its bytes (by default as the model has it), or all where there are fewer.

    They are spread evenly over the frames that are shown, as transformers' Gemma4VideoProcessor spreads them over all:
    also where the rate varies, it is frames that are counted. Unlike there, each frame has its own time, what an edit
    list hides is neither seen nor counted, colours are those the file names, and clips recorded sideways are turned.
    Raises MediaError for what cannot be read, UsageError for less than one frame.
    """
    count = rules.frames if frames is None else frames
    if count < 1:
        raise UsageError(f"At least one frame of a clip must be looked at, not {count}.")
    replace(rules, frames=count).check()
    with _opened(source) as (name, container):
        stream = _picture_track(container, name)
        timeline = _timeline(container, stream, name)
        chosen = [timeline.shown[index] for index in sample(len(timeline.shown), count)]
        inputs = [image_inputs(pixels, rules.image) for pixels in _decoded(container, stream, name, timeline, chosen)]
        if len(inputs) < len(chosen):
            raise MediaError(_damaged(name, f"{len(inputs)} of {len(chosen)} frames could be decoded"))
        seconds = [float((ticks - timeline.shown[0]) * (stream.time_base or 0)) for ticks in chosen]
        return VideoInputs(inputs, seconds, [stamp(second) for second in seconds], bool(container.streams.audio))


def sample(total: int, count: int) -> list[int]:
    """Which of `total` frames are looked at: `count` in equal steps from the first, or all."""
    count = min(count, total)
    return [step * total // count for step in range(count)]


def stamp(seconds: float) -> str:
    """The time of a frame as it stands in prompts, "mm:ss"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


@contextmanager
def _opened(source: Path | bytes) -> Iterator[tuple[str, InputContainer]]:
    """The clip with a name for messages. What FFmpeg finds wrong, here and while it is read, becomes a MediaError."""
    name = "The clip" if isinstance(source, bytes) else str(source)
    try:
        with _file(source) as file:
            check_bytes(file.seek(0, 2), name, MOST_FILE_BYTES)
            if not is_whole_clip(file):
                raise MediaError(f"{name} is incomplete: its end is missing. Save or download it again.")
            file.seek(0)
            # Tags of old programs are no UTF-8, and nothing here reads them.
            with av.open(file, "r", metadata_errors="replace") as container:
                yield name, container
    except av.FFmpegError as error:
        raise MediaError(_damaged(name, str(error.strerror))) from error
    except OSError as error:
        raise MediaError(f"{name} cannot be read: {error.strerror}.") from error


def _file(source: Path | bytes) -> BinaryIO:
    # Opened here, since FFmpeg would take a name for an address.
    if isinstance(source, bytes):
        return io.BytesIO(source)
    check_regular(source)
    return source.open("rb")


def _damaged(name: str, reason: str) -> str:
    return (
        f"{name} cannot be read as a clip ({reason}): it is damaged, incomplete or no clip, whatever its name says. "
        "Save or download it again."
    )


def _picture_track(container: InputContainer, name: str) -> VideoStream:
    # The cover of a song is a video stream to FFmpeg.
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    if not tracks:
        raise MediaError(f"{name} has no pictures: there is no video track in it. Attach it as a sound instead.")
    track = tracks[0]
    if track.codec_context is None:
        raise MediaError(f"{name} has pictures in a codec that FFmpeg does not know. Save it as MP4 with H.264.")
    check_size(track.width, track.height, name)
    return track


def _timeline(container: InputContainer, stream: VideoStream, name: str) -> Timeline:
    """Read from the packets, without decoding: some files do not say how many frames they have.

    Frames that an edit list hides are marked by FFmpeg, but for files in pieces, where their times are negative.
    """
    packets = list(_packets(container, stream, name))
    expected = max(len(getattr(stream, "index_entries", ())), 1)
    if len(packets) < expected:
        raise MediaError(_damaged(name, f"{len(packets)} of {expected} frames are there"))
    first = min(packet.ticks for packet in packets)
    last = max(packet.ticks for packet in packets)
    check_length(len(packets), float((last - first) * (stream.time_base or 0)), name)
    hidden_below = 0 if _has_edits(container) else first
    shown = sorted(packet.ticks for packet in packets if not packet.is_hidden and packet.ticks >= hidden_below)
    if not shown:
        raise MediaError(_damaged(name, "none of its frames is shown"))
    return Timeline(shown, _keys(packets) or [first], _lead(container, packets))


def _packets(container: InputContainer, stream: VideoStream, name: str) -> Iterator[_Packet]:
    for count, packet in enumerate(container.demux(stream)):
        check_length(count, 0, name)
        if packet.pts is not None:
            yield _Packet(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard)


def check_length(frames: int, seconds: float, name: str) -> None:
    """Raises MediaError for a video of more frames than are looked through, or a longer one."""
    if frames > MOST_FRAMES or seconds > MOST_SECONDS:
        raise MediaError(
            f"{name} is too long: at most {MOST_FRAMES:,} frames in {MOST_SECONDS // 3600} hours are looked through. "
            "Cut it first."
        )


def _keys(packets: list[_Packet]) -> list[int]:
    """The ticks of key frames. None where times start anew within the clip, as they do after a part that is hidden: no
    key can be found by its time there."""
    keys: list[int] = []
    latest: float = -math.inf
    for ticks, _, is_key, is_hidden in packets:
        if is_key and ticks < latest:
            return []
        if is_key:
            keys.append(ticks)
        if not is_hidden:
            latest = max(latest, ticks)
    return keys


def _lead(container: InputContainer, packets: list[_Packet]) -> int:
    """Transport streams are sought by when frames are decoded, which is before they are shown."""
    if container.format.name != "mpegts":
        return 0
    return max((packet.ticks - packet.decoded for packet in packets if packet.decoded is not None), default=0)


def _has_edits(container: InputContainer) -> bool:
    return "mp4" in container.format.name


def _decoded(
    container: InputContainer, stream: VideoStream, name: str, timeline: Timeline, chosen: list[int]
) -> Iterator[Pixels]:
    """The frames shown at the `chosen` ticks. What lies between them is skipped from key to key."""
    stream.thread_type = "AUTO"
    # Of VP8, FFmpeg's decoder says that it is BT.601, also where a browser recorded other and the file says so.
    matrix, levels = stream.codec_context.colorspace, stream.codec_context.color_range
    reached = timeline.keys[0] - 1
    frames: Iterator[VideoFrame] = iter(())
    for ticks in chosen:
        key = timeline.keys[max(bisect_right(timeline.keys, ticks) - 1, 0)]
        if key > reached:
            container.seek(key - timeline.lead, stream=stream)
            frames = container.decode(stream)
        for frame in frames:
            reached = reached if frame.pts is None else frame.pts
            if reached >= ticks:
                frame.colorspace = frame.colorspace if matrix == UNSPECIFIED else matrix
                frame.color_range = levels or frame.color_range
                check_size(frame.width, frame.height, name)  # which may change within a clip
                yield np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                break
