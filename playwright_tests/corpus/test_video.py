"""Clips of every kind: transformers' patches of the frames that FFmpeg shows, beside Python's and Chromium's.

transformers' own loader counts frames that an edit list hides, turns none, and needs a number of frames in the file;
where it reads a clip as it is shown, tests/media/test_video.py compares with it.
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
"""In 255ths, of Chromium: FFmpeg's scaler rounds what lies between two columns of chroma to 1 in a pixel, which
resizing can sharpen. All else is equal."""

FIREFOX_BOUND = 24
"""The same of Firefox, which hands out RGB by a matrix of its own: behind channels that are cut off at 0 or 255,
several colours may be. Of more than 8 bits it cuts off those beyond."""

ROUNDING = 1e-3
"""In 255ths, of a byte that became a float."""

SECONDS = 1e-6
"""As near as times must be."""

IN_SMALL = ("MP4, MOV, Matroska", "a hidden beginning", "alpha", "4:4:4 and 4:2:2")
"""The kinds of which a small draw has a clip."""


def python_frames(content: bytes) -> tuple[list[float], list[Any]]:
    found = load_video(content, PYTHON_RULES)
    return found.seconds, [frame.patches for frame in found.frames]


def browser_frames(content: bytes, page: Media) -> tuple[list[float], list[Any]]:
    found = page.call("prepareVideo", content, name="clip", rules=RULES, options={})
    return found["seconds"], [frame["patches"] for frame in found["frames"]]


@contextmanager
def suppress_lacking_codec() -> Iterator[None]:
    """Firefox has no H.264 of more than 8 bits or 4:2:0, and no HEVC, on this system: it refuses such clips by name."""
    try:
        yield
    except ScriptError as error:
        if "which this browser does not decode" not in str(error):
            raise


def difference(found: tuple[list[float], list[Any]], expected: tuple[list[float], list[Any]]) -> float:
    """The largest difference of values, in 255ths; infinite where there are other frames or times."""
    (seconds, frames), (expected_seconds, expected_frames) = found, expected
    if len(frames) != len(expected_frames) or not np.allclose(seconds, expected_seconds, rtol=0, atol=SECONDS):
        return np.inf
    pairs = zip(frames, expected_frames, strict=True)
    most = max(float(np.abs(one.ravel() - other.ravel()).max()) for one, other in pairs) * 255
    return most if most > ROUNDING else 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_clips_are_those_that_ffmpeg_shows(
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
                failed.append(f"{name}: clip {seed} differs by {most:.3g} of 255")
    if row.columns:
        record_property(CORPUS_LINE, str(row))
    assert not failed
