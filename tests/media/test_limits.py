"""Files beyond limits are rejected before any work, with the same numbers as in the tab."""

import os
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemtab.errors import CheckpointError, MediaError, UsageError
from gemtab.media import limits
from gemtab.media.audio import load_audio
from gemtab.media.audio_rules import audio_rules
from gemtab.media.images import load_image
from gemtab.media.rules import ImageRules, VideoRules, image_rules, video_rules
from gemtab.media.video import check_length, load_video
from tests.media.videos import video_file

TWIN = Path(__file__).parents[2] / "webruntime" / "src" / "input" / "facts.gen.ts"
VIDEO = VideoRules(ImageRules(patch=16, pooling=3, max_soft_tokens=70, merged=False), frames=4)
LOADERS: dict[str, Callable[[Path], object]] = {
    "image": load_image,
    "audio": load_audio,
    "video": lambda path: load_video(path, VIDEO),
}


def test_the_tab_has_the_same_numbers() -> None:
    found = dict(re.findall(r"^export const (\w+) = (\d+);$", TWIN.read_text(), re.MULTILINE))
    own = {name: str(value) for name, value in vars(limits).items() if name.isupper()}
    assert {name: found.get(name) for name in own} == own


def wave(rate: int, samples: int, channels: int = 1) -> bytes:
    layout = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2 & 0xFFFFFFFF, channels * 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", samples * channels * 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body + bytes(samples * channels * 2)


@pytest.mark.parametrize("rate", [0, 1, 7_999, 192_001, 2**32 - 1])
def test_a_rate_that_is_not_read(rate: int) -> None:
    started = time.process_time()
    with pytest.raises(MediaError, match=f"has {rate} samples a second; the range is 8000 to 192000"):
        load_audio(wave(rate, 4_000_000))
    assert time.process_time() - started < 1


def test_more_samples_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemtab.media.audio.MAX_SAMPLES", 8_000 * 60)
    monkeypatch.setattr("gemtab.media.audio._decode", None)  # nothing is decoded
    with pytest.raises(MediaError, match="is longer than 1 minutes"):
        load_audio(wave(8_000, 8_000 * 61, channels=2))


def test_more_recordings_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemtab.media.audio.recordings_in", lambda _: [None] * 1001)
    with pytest.raises(MediaError, match="has 1,001 recordings; the limit is 1,000"):
        load_audio(b"OggS")


@pytest.mark.parametrize("kind", LOADERS)
def test_a_file_that_is_too_large_is_not_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate((3 << 30) + 1)  # a hole, which takes no room
    with pytest.raises(MediaError, match=r"large has 3,221,225,473 bytes; the limit is [\d,]+"):
        LOADERS[kind](path)


@pytest.mark.parametrize("kind", LOADERS)
def test_what_is_no_file(kind: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, what in (("pipe", "a pipe"), ("zero", "a device")):
        with pytest.raises(MediaError, match=f"{name} cannot be read: it is {what}, not a file"):
            LOADERS[kind](tmp_path / name)
    with pytest.raises(MediaError, match="cannot be read: Is a directory"):
        LOADERS[kind](tmp_path)


def test_a_video_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    check_length(limits.MAX_FRAMES, limits.MAX_SECONDS, "x")
    with pytest.raises(MediaError, match="x is too long: the limit is 1,048,576 frames and 6 hours"):
        check_length(limits.MAX_FRAMES + 1, 1, "x")
    video = video_file("mp4", "libx264", frames=9)
    monkeypatch.setattr("gemtab.media.video._decoded", None)  # nothing is decoded
    for name, most in (("MAX_FRAMES", 5), ("MAX_SECONDS", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(f"gemtab.media.video.{name}", most)
            with pytest.raises(MediaError, match="is too long"):
                load_video(video, VIDEO)


def test_more_frames_than_memory_is_for() -> None:
    with pytest.raises(UsageError, match="100000 frames of up to 70 tokens take too much memory"):
        load_video(b"", VIDEO, 100_000)


PROCESSOR: dict[str, Any] = {
    "image_processor": {},
    "video_processor": {},
    "feature_extractor": {},
    "processor_class": "Gemma4Processor",
}
NUMBERS = [
    *(("image_processor", name) for name in ("patch_size", "pooling_kernel_size")),
    *(("video_processor", name) for name in ("patch_size", "num_frames")),
    *(("feature_extractor", name) for name in ("sampling_rate", "frame_length", "hop_length", "fft_length")),
    *(("feature_extractor", name) for name in ("feature_size", "min_frequency", "max_frequency", "mel_floor")),
    *((None, name) for name in ("audio_seq_length", "audio_ms_per_token")),
]


@pytest.mark.parametrize(("section", "name"), NUMBERS)
@pytest.mark.parametrize("value", [-1, 10**9, 10**400, None, "16", [], True, float("nan"), float("inf")])
def test_settings_of_a_processor_are_bounded(section: str | None, name: str, value: object) -> None:
    changed = {**PROCESSOR, name: value} if section is None else {**PROCESSOR, section: {name: value}}
    with pytest.raises(CheckpointError, match=f"processor_config.json sets {name} of"):
        _ = [rules(changed) for rules in (image_rules, video_rules, audio_rules)]


def test_a_processor_without_sections() -> None:
    for section in ("image_processor", "video_processor", "feature_extractor"):
        values: list[object] = [None, [], 5, "x"]
        for value in values:
            with pytest.raises(CheckpointError, match=f"processor_config.json.* {section}"):
                _ = [rules({**PROCESSOR, section: value}) for rules in (image_rules, video_rules, audio_rules)]


def test_published_settings_pass() -> None:
    assert video_rules(PROCESSOR).frames == 32
    assert audio_rules(PROCESSOR).longest == 480_000
    assert np.isclose(image_rules(PROCESSOR).side, 48)
