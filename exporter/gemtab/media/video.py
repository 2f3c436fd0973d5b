"""Video: a few frames of a file, each an image with its time. Importing this module needs the extra `media`."""

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
from gemtab.media.limits import MAX_FILE_BYTES, MAX_FRAMES, MAX_SECONDS
from gemtab.media.rules import VideoRules
from gemtab.media.source import check_bytes, media_extra
from gemtab.media.whole_file import is_whole_file
from gemtab.regular import check_regular

with media_extra():
    import av
    from av.container import InputContainer
    from av.stream import Disposition
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


UNSPECIFIED = 2
"""FFmpeg's number for an unspecified colour matrix."""


@dataclass(frozen=True)
class VideoInputs:
    """The frames chosen from a video.

    seconds: each frame's time from the first shown frame. stamps: the same times as "mm:ss". has_audio: whether the
    file has an audio track.
    """

    frames: list[ImageInputs]
    seconds: list[float]
    stamps: list[str]
    has_audio: bool


@dataclass(frozen=True)
class Timeline:
    """Times of a video's frames, in ticks of the stream's time base.

    shown: times of shown frames, in order. keys: times of frames, hidden ones too, that decode without any other frame.
    lead: ticks before a key's own time at which to seek the key.
    """

    shown: list[int]
    keys: list[int]
    lead: int


class _Packet(NamedTuple):
    """Times of a packet in ticks, and its flags. The packet's data is not kept."""

    ticks: int
    decoded: int | None
    is_key: bool
    is_hidden: bool


def load_video(source: Path | bytes, rules: VideoRules, frames: int | None = None) -> VideoInputs:
    """Return `frames` frames of the video in a file or its bytes; all frames where there are fewer.

    frames: by default the model's number. Frames are spread evenly by count over the shown frames, as transformers'
    Gemma4VideoProcessor spreads them, also where the frame rate varies. Unlike there, each frame has its own time,
    frames hidden by an edit list are neither chosen nor counted, colours follow the file's colour tags, and videos
    recorded sideways are turned. Raises MediaError where the file cannot be read or exceeds a limit, UsageError for
    fewer than one frame.
    """
    count = rules.frames if frames is None else frames
    if count < 1:
        raise UsageError(f"A video needs at least one frame, not {count}.")
    replace(rules, frames=count).check()
    with _opened(source) as (name, container):
        stream = _video_track(container, name)
        timeline = _timeline(container, stream, name)
        chosen = [timeline.shown[index] for index in sample(len(timeline.shown), count)]
        inputs = [image_inputs(pixels, rules.image) for pixels in _decoded(container, stream, name, timeline, chosen)]
        if len(inputs) < len(chosen):
            raise MediaError(_damaged(name, f"{len(inputs)} of {len(chosen)} frames could be decoded"))
        seconds = [float((ticks - timeline.shown[0]) * (stream.time_base or 0)) for ticks in chosen]
        return VideoInputs(inputs, seconds, [stamp(second) for second in seconds], bool(container.streams.audio))


def sample(total: int, count: int) -> list[int]:
    """Return the indices of the chosen frames: `count` of `total` in equal steps from the first, or all."""
    count = min(count, total)
    return [step * total // count for step in range(count)]


def stamp(seconds: float) -> str:
    """Return a frame's time as prompts have it: "mm:ss"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


@contextmanager
def _opened(source: Path | bytes) -> Iterator[tuple[str, InputContainer]]:
    """Open the video; yield a name for messages and the container. FFmpeg's errors become MediaError, also while
    reading.
    """
    name = "The video" if isinstance(source, bytes) else str(source)
    try:
        with _file(source) as file:
            check_bytes(file.seek(0, 2), name, MAX_FILE_BYTES)
            if not is_whole_file(file):
                raise MediaError(f"{name} is incomplete: its end is missing. Save or download it again.")
            file.seek(0)
            # Old programs write tags that are not UTF-8. Tags are not read.
            with av.open(file, "r", metadata_errors="replace") as container:
                yield name, container
    except av.FFmpegError as error:
        raise MediaError(_damaged(name, str(error.strerror))) from error
    except OSError as error:
        raise MediaError(f"{name} cannot be read: {error.strerror}.") from error


def _file(source: Path | bytes) -> BinaryIO:
    # FFmpeg would take a file's name for an address, so the file is opened here.
    if isinstance(source, bytes):
        return io.BytesIO(source)
    check_regular(source)
    return source.open("rb")


def _damaged(name: str, reason: str) -> str:
    return (
        f"{name} cannot be read as a video ({reason}): the file is damaged, incomplete, or not a video, whatever its "
        "name says. Save or download it again."
    )


def _video_track(container: InputContainer, name: str) -> VideoStream:
    # FFmpeg lists the cover image of a song as a video stream.
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    if not tracks:
        raise MediaError(f"{name} has no video track. Attach it as audio instead.")
    track = tracks[0]
    if track.codec_context is None:
        raise MediaError(f"{name} has video in a codec that FFmpeg does not know. Save it as MP4 with H.264.")
    check_size(track.width, track.height, name)
    return track


def _timeline(container: InputContainer, stream: VideoStream, name: str) -> Timeline:
    """Read the times from the packets, without decoding: some files do not state their number of frames.

    FFmpeg marks frames that an edit list hides, except in fragmented files, where hidden frames have negative times.
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
        raise MediaError(_damaged(name, "its edit list hides all frames"))
    return Timeline(shown, _keys(packets) or [first], _lead(container, packets))


def _packets(container: InputContainer, stream: VideoStream, name: str) -> Iterator[_Packet]:
    for count, packet in enumerate(container.demux(stream)):
        check_length(count, 0, name)
        if packet.pts is not None:
            yield _Packet(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard)


def check_length(frames: int, seconds: float, name: str) -> None:
    """Raise MediaError for a video with too many frames or seconds."""
    if frames > MAX_FRAMES or seconds > MAX_SECONDS:
        raise MediaError(
            f"{name} is too long: the limit is {MAX_FRAMES:,} frames and {MAX_SECONDS // 3600} hours. Cut it first."
        )


def _keys(packets: list[_Packet]) -> list[int]:
    """Return the ticks of key frames; none where times restart within the video, as after a hidden part: keys cannot be
    sought by time there."""
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
    """Return the ticks to seek ahead: transport streams seek by decoding time, which precedes the shown time."""
    if container.format.name != "mpegts":
        return 0
    return max((packet.ticks - packet.decoded for packet in packets if packet.decoded is not None), default=0)


def _has_edits(container: InputContainer) -> bool:
    return "mp4" in container.format.name


def _decoded(
    container: InputContainer, stream: VideoStream, name: str, timeline: Timeline, chosen: list[int]
) -> Iterator[Pixels]:
    """Yield the frames ([height, width, 3] RGB) at the `chosen` ticks, skipping from key frame to key frame."""
    stream.thread_type = "AUTO"
    # FFmpeg's VP8 decoder always says BT.601, even where a browser recorded another matrix and the file says so.
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
                check_size(frame.width, frame.height, name)  # may change within a video
                yield np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                break
