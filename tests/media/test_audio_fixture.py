"""The file that the TypeScript resampler and spectrogram are tested against says what Python says."""

import json

import pytest

from tests.media.audio_fixture import FIXTURE, make


def test_the_fixture_is_what_python_says_today() -> None:
    expected, found = json.loads(json.dumps(make())), json.loads(FIXTURE.read_text(encoding="utf-8"))
    hint = "run `python -m tests.media.audio_fixture` and look at what changed"
    assert found.keys() == expected.keys(), hint
    for name in ("frames", "tokens", "shown"):
        assert found[name] == expected[name], hint
    assert found["spectrogram"] == pytest.approx(expected["spectrogram"], abs=1e-4), hint
    for rate, values in expected["resampled"].items():
        assert found["resampled"][rate] == pytest.approx(values, abs=2e-6), hint
