"""Makes tests/fixtures/audio.json: what Python makes of a noise that TypeScript can make too.

pytest checks that the file still says what Python says; vitest checks the TypeScript resampler and spectrogram against
it. To write it again:

    python -m tests.media.audio_fixture
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import Gemma4AudioFeatureExtractor

from gemtab.media.audio_rules import audio_rules
from gemtab.media.resample import resample
from gemtab.resources import REPOSITORY

TINY = REPOSITORY / "models" / "tiny"
FIXTURE = REPOSITORY / "tests" / "fixtures" / "audio.json"
RATES = [8_000, 8_001, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000]
SECONDS = 0.02
LENGTHS = [1, 160, 161, 321, 640, 641, 1_600, 2_000, 2_560, 2_561, 479_999, 480_000]
SHOWN = 23
"""Every so many-th value is in the file."""


def noise(count: int) -> NDArray[np.float32]:
    """A linear congruential generator's, in steps of 1/32768."""
    values, state = np.zeros(count), 1
    for i in range(count):
        state = (state * 1_103_515_245 + 12_345) % (1 << 31)
        values[i] = (state >> 15) - 32_768
    return (values / 32_768).astype(np.float32)


def make() -> dict[str, Any]:
    """The file's content. Spectrograms are those of transformers."""
    processor = json.loads((TINY / "processor_config.json").read_text(encoding="utf-8"))
    extractor = Gemma4AudioFeatureExtractor(**processor["feature_extractor"])
    rules = audio_rules(processor)
    heard = extractor([noise(1_000)], return_tensors="np")
    frames = heard["input_features"][0][heard["input_features_mask"][0]]
    resampled = {rate: resample(noise(int(rate * SECONDS)), rate, rules.rate) for rate in RATES}
    return {
        "resampled": {str(rate): _shown(values) for rate, values in resampled.items()},
        "frames": len(frames),
        "spectrogram": _shown(frames.ravel()),
        "tokens": {str(length): rules.soft_tokens(length) for length in LENGTHS},
        "shown": SHOWN,
    }


def _shown(values: NDArray[np.float32]) -> list[float]:
    return [round(float(value), 6) for value in values[::SHOWN]]


if __name__ == "__main__":
    FIXTURE.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
