"""Videos of every kind: transformers' patches of the frames that FFmpeg shows, and Python's and Chromium's.

transformers' own loader counts frames that an edit list hides, does not rotate, and needs a number of frames in the
file. Where it reads a video as FFmpeg shows it, tests/media/test_video.py compares with it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from gemtab.media.rules import ImageRules, VideoRules
from gemtab.media.video import load_video
from playwright_tests.corpus.table import Row
from playwright_tests.media.conftest import Media, ScriptError, adapter, firefox_media, media  # noqa: F401
from tests.media.video_kinds import KINDS, by_ffmpeg, processed
from tests.tables import CORPUS_LINE

FRAMES = 6
BUDGET = 70
PYTHON_RULES = VideoRules(ImageRules(16, 3, BUDGET, merged=False), FRAMES)
RULES = {"image": {"patch": 16, "pooling": 3, "maxSoftTokens": BUDGET, "merged": False}, "frames": FRAMES}

BOUNDS = {"odd sizes": 2}
"""Tolerance in Chromium, in 255ths: FFmpeg's scaler rounds values between two columns of chroma to 1 in a pixel, which
resizing can sharpen. Everything else is equal."""

FIREFOX_BOUND = 24
"""Tolerance in Firefox, which returns RGB by its own matrix. Where channels are clipped at 0 or 255, several colours
are possible. Bits beyond 8 are truncated."""

ROUNDING = 1e-3
"""Tolerance of a byte that became a float, in 255ths."""

SECONDS = 1e-6
"""Tolerance of times, in seconds."""

IN_SMALL = ("MP4, MOV, Matroska", "a hidden beginning", "alpha", "4:4:4 and 4:2:2")
"""The kinds of which a small draw has a video."""


def python_frames(content: bytes) -> tuple[list[float], list[Any]]:
    found = load_video(content, PYTHON_RULES)
    return found.seconds, [frame.patches for frame in found.frames]


def browser_frames(content: bytes, page: Media) -> tuple[list[float], list[Any]]:
    found = page.call("prepareVideo", content, name="video", rules=RULES, options={})
    return found["seconds"], [frame["patches"] for frame in found["frames"]]


@contextmanager
def suppress_lacking_codec() -> Iterator[None]:
    """Ignore the error of codecs that Firefox lacks on this system: H.264 of more than 8 bits or not 4:2:0, and HEVC.
    Firefox rejects such videos with an error that names the codec."""
    try:
        yield
    except ScriptError as error:
        if "which this browser does not decode" not in str(error):
            raise


def difference(found: tuple[list[float], list[Any]], expected: tuple[list[float], list[Any]]) -> float:
    """Return the largest difference of values, in 255ths; infinite where frames or times differ."""
    (seconds, frames), (expected_seconds, expected_frames) = found, expected
    if len(frames) != len(expected_frames) or not np.allclose(seconds, expected_seconds, rtol=0, atol=SECONDS):
        return np.inf
    pairs = zip(frames, expected_frames, strict=True)
    most = max(float(np.abs(one.ravel() - other.ravel()).max()) for one, other in pairs) * 255
    return most if most > ROUNDING else 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_videos_are_those_that_ffmpeg_shows(
    kind: str,
    drawn: Callable[[int, int], int],
    media: Media,  # noqa: F811
    firefox_media: Media,  # noqa: F811
    record_property: Callable[[str, object], None],
) -> None:
    row = Row("video", kind)
    bounds = {"Python": 0, "Chromium": BOUNDS.get(kind, 0), "Firefox": FIREFOX_BOUND}
    failed = []
    for seed in range(drawn(int(kind in IN_SMALL), 6)):
        content = KINDS[kind](seed)
        pixels, seconds = by_ffmpeg(content, FRAMES)
        expected = seconds, [processed(each, BUDGET)[0] for each in pixels]
        found = {
            "Python": python_frames(content),
            "Chromium": browser_frames(content, media),
        }
        with suppress_lacking_codec():
            found["Firefox"] = browser_frames(content, firefox_media)
        for name, frames in found.items():
            most = difference(frames, expected)
            row.add(name, most == 0, most)
            if most > bounds[name] + ROUNDING:
                failed.append(f"{name}: video {seed} differs by {most:.3g} of 255")
    if row.columns:
        record_property(CORPUS_LINE, str(row))
    assert not failed
