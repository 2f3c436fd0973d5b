"""Invalid numbers of processor_config.json are rejected with an error that names them."""

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gemtab.errors import CheckpointError
from gemtab.media.audio_rules import audio_rules
from gemtab.media.rules import image_rules, video_rules
from tests.variants import TINY

PROCESSOR = json.loads((TINY / "processor_config.json").read_text())
RULES: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "image_processor": image_rules,
    "video_processor": video_rules,
    "feature_extractor": audio_rules,
}
NUMBERS = [
    ("image_processor", "patch_size"),
    ("image_processor", "pooling_kernel_size"),
    ("image_processor", "max_soft_tokens"),
    ("video_processor", "num_frames"),
    ("feature_extractor", "sampling_rate"),
    ("feature_extractor", "frame_length"),
    ("feature_extractor", "hop_length"),
    ("feature_extractor", "fft_length"),
    ("feature_extractor", "feature_size"),
    ("feature_extractor", "max_frequency"),
]
WRONG: list[Any] = [None, -1, "x", [], {}, True, 2**40, 1e308, [1, 2]]


@pytest.mark.parametrize("section", RULES)
def test_tinys_own_are_taken(section: str) -> None:
    RULES[section](PROCESSOR)


@pytest.mark.parametrize("wrong", WRONG, ids=str)
@pytest.mark.parametrize(("section", "name"), NUMBERS)
def test_numbers_that_cannot_be(section: str, name: str, wrong: object) -> None:
    processor = copy.deepcopy(PROCESSOR)
    processor[section][name] = wrong
    with pytest.raises(CheckpointError, match=name):
        RULES[section](processor)


@pytest.mark.parametrize("wrong", [0, "x", [], True], ids=str)
@pytest.mark.parametrize("name", ["audio_seq_length", "audio_ms_per_token"])
def test_lengths_of_audio_that_cannot_be(name: str, wrong: object) -> None:
    with pytest.raises(CheckpointError, match=name):
        audio_rules({**PROCESSOR, name: wrong})


@pytest.mark.parametrize("wrong", [1, "x", [1], True], ids=str)
@pytest.mark.parametrize("section", RULES)
def test_sections_that_are_none(section: str, wrong: object) -> None:
    with pytest.raises(CheckpointError, match=section):
        RULES[section]({**PROCESSOR, section: wrong})
