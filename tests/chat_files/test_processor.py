"""How media are prepared is taken from where transformers saves it, else as the published models have it."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import Gemma4ImageProcessorPil
from transformers.models.gemma4.feature_extraction_gemma4 import Gemma4AudioFeatureExtractor

from gemtab.chat_files.processor import published_sections
from gemtab.checkpoint.config import read_config
from gemtab.errors import CheckpointError
from gemtab.media.audio_rules import audio_rules
from gemtab.media.rules import image_rules, video_rules
from gemtab.synth import published_config
from tests.chat_files.conftest import chosen, read, write


def written(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(chosen(folder).texts["processor_config.json"])
    return content


def test_the_published_settings_are_those_of_transformers_classes(tiny_copy: Path) -> None:
    sections = published_sections(read_config(tiny_copy))
    images, audio = (
        json.loads(made().to_json_string()) for made in (Gemma4ImageProcessorPil, Gemma4AudioFeatureExtractor)
    )
    assert {key: images.get(key) for key in sections["image"]} == sections["image"]
    assert {key: audio.get(key) for key in sections["audio"]} == sections["audio"]


def test_nothing_is_said_of_media(tiny_copy: Path) -> None:
    """As trl, unsloth and mergekit leave a folder that was saved without its processor."""
    (tiny_copy / "processor_config.json").unlink()
    found = written(tiny_copy)
    assert image_rules(found).max_soft_tokens == 280
    assert (video_rules(found).image.max_soft_tokens, video_rules(found).frames) == (70, 32)
    assert audio_rules(found).longest == 30 * 16_000
    (note,) = chosen(tiny_copy).notes
    assert note.startswith("processor_config.json has no settings for image, video, audio") and "--inputs text" in note
    assert chosen(tiny_copy, ("text",)).notes == ()
    assert "has no settings for audio:" in chosen(tiny_copy, ("text", "audio")).notes[0]


def test_the_model_without_towers(tmp_path: Path) -> None:
    write(tmp_path / "config.json", published_config("12B"))
    image = published_sections(read_config(tmp_path))["image"]
    assert image["image_processor_type"] == "Gemma4UnifiedImageProcessor"
    assert image_rules({"image_processor": image}).merged


def test_older_releases_have_a_file_for_each(tiny_copy: Path) -> None:
    whole = read(tiny_copy / "processor_config.json")
    images, video, audio = (whole.pop(key) for key in ("image_processor", "video_processor", "feature_extractor"))
    write(tiny_copy / "processor_config.json", whole)
    write(tiny_copy / "preprocessor_config.json", {**audio, **images, "max_soft_tokens": 140})
    write(tiny_copy / "video_preprocessor_config.json", {**video, "num_frames": 7})
    made, found = chosen(tiny_copy), written(tiny_copy)
    assert made.notes == ()
    assert image_rules(found).max_soft_tokens == 140
    assert video_rules(found).frames == 7
    assert found["feature_extractor"] == audio
    (tiny_copy / "video_preprocessor_config.json").unlink()
    assert "has no settings for video:" in chosen(tiny_copy).notes[0]


@pytest.mark.parametrize(
    ("section", "changes", "words"),
    [
        ("image_processor", {"image_processor_type": "SiglipImageProcessor"}, "image_processor_type is Siglip"),
        ("image_processor", {"max_soft_tokens": 100}, "sets max_soft_tokens"),
        ("image_processor", {"patch_size": 14}, "14 × 3 pixels, but vision_config in config.json has 16 × 3"),
        ("video_processor", {"resample": 2}, "sets resample"),
        ("feature_extractor", {"dither": 0.1}, "sets dither"),
    ],
)
def test_settings_that_are_not_known_are_refused_at_export(
    tiny_copy: Path, section: str, changes: dict[str, Any], words: str
) -> None:
    whole = read(tiny_copy / "processor_config.json")
    whole[section].update(changes)
    write(tiny_copy / "processor_config.json", whole)
    with pytest.raises(CheckpointError, match=words) as caught:
        chosen(tiny_copy)
    assert "--inputs text" in str(caught.value)
    assert chosen(tiny_copy, ("text",)).texts


@pytest.mark.parametrize("number", [None, 19, 10**6])
def test_placeholders_that_the_model_does_not_know_are_refused(tiny_copy: Path, number: int | None) -> None:
    """Media would be looked for at other tokens, and never be seen."""
    config = read(tiny_copy / "config.json")
    write(tiny_copy / "config.json", {**config, "image_token_id": number})
    with pytest.raises(CheckpointError, match=r"image_token is <\|image\|> with id 18 .*no such image_token_id"):
        chosen(tiny_copy)
    assert chosen(tiny_copy, ("text",))
