"""Recordings of every kind: transformers' features of their samples, and Python's and Chromium's of the file."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import Gemma4AudioFeatureExtractor

from gemtab.media.audio import audio_inputs, load_audio, segments
from gemtab.media.audio_rules import audio_rules
from gemtab.media.resample import resample
from gemtab.resources import REPOSITORY
from playwright_tests.corpus.table import Row
from playwright_tests.media.conftest import Media, adapter, firefox_media, media  # noqa: F401
from playwright_tests.media.test_audio import LOG_MEL_SHORT
from tests.media.recorded import Recording
from tests.media.recordings import KINDS
from tests.tables import CORPUS_LINE

PROCESSOR: dict[str, Any] = json.loads((REPOSITORY / "models" / "tiny" / "processor_config.json").read_text())
RULES = audio_rules(PROCESSOR)
Features = NDArray[np.float32]

EXACT = 1e-4
"""Tolerance of log-mel features of equal samples: transformers computes their logarithms in another order."""

ROUNDED = 1e-3
"""Tolerance of decoders that compute in f32, in any order: samples differ by up to 1e-6, about a thousandth of a quiet
band."""

MP3 = 0.1
"""Tolerance of MP3. Two builds of ffmpeg's decoder differ by up to 5e-6. In bands that the encoder leaves empty, that
is a few hundredths of the signal and of the floor under the logarithm."""

BOUNDS = {"WAV": EXACT, "FLAC": EXACT, "MP3": MP3, "Matroska, MP4 and MOV": MP3, "Video files": MP3}

FIREFOX_BOUNDS = BOUNDS | {"MP3": LOG_MEL_SHORT}
"""Tolerance of MP3 in Firefox, whose own decoder rounds to 16 bits; the rounding shows in bands that the encoder left
empty."""


def expected_features(recording: Recording, extractor: Gemma4AudioFeatureExtractor) -> list[Features]:
    """Return transformers' features of each segment, without the frames that it masks."""
    samples = resample(recording.samples, recording.rate, RULES.rate)
    found = []
    for segment in segments(samples, RULES):
        out = extractor([segment], return_tensors="np")
        found.append(out["input_features"][0][out["input_features_mask"][0]])
    return found


def python_features(recording: Recording) -> list[Features]:
    samples, rate = load_audio(recording.content)
    return [audio_inputs(each, RULES).features for each in segments(resample(samples, rate, RULES.rate), RULES)]


def browser_features(recording: Recording, page: Media) -> list[Features]:
    found = page.call("hear", recording.content, processor=PROCESSOR)["segments"]
    return [each["features"].reshape(each["rows"], each["width"]) for each in found]


def difference(found: list[Features], expected: list[Features]) -> float:
    """Return the largest difference of the features; infinite where their shapes differ."""
    if [each.shape for each in found] != [each.shape for each in expected]:
        return float("inf")
    return max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_recordings(
    kind: str,
    media: Media,  # noqa: F811
    firefox_media: Media,  # noqa: F811
    drawn: Callable[[int, int], int],
    record_property: Callable[[str, object], None],
) -> None:
    extractor = Gemma4AudioFeatureExtractor(**PROCESSOR["feature_extractor"])
    codec = kind.split(":")[0]
    row, wrong = Row("audio", kind), []
    for seed in range(drawn(1, 8)):
        recording = KINDS[kind](seed)
        expected = expected_features(recording, extractor)
        implementations = {
            "Python": python_features(recording),
            "Chromium": browser_features(recording, media),
            "Firefox": browser_features(recording, firefox_media),
        }
        for name, features in implementations.items():
            bound = (FIREFOX_BOUNDS if name == "Firefox" else BOUNDS).get(codec, ROUNDED)
            largest = difference(features, expected)
            row.add(name, largest <= bound, largest)
            if largest > bound:
                wrong.append(f"{name}, seed {seed}, {recording.name}: {largest:.3g}")
    record_property(CORPUS_LINE, str(row))
    assert not wrong, wrong
