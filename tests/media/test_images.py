"""Images are prepared as by transformers' Gemma 4 processors."""

import io
import json
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.image_transforms import convert_to_rgb
from transformers.image_utils import load_image as reference_load_image
from transformers.models.gemma4.image_processing_pil_gemma4 import (
    Gemma4ImageProcessorPil,
    get_aspect_ratio_preserving_size,
)

from gemtab.bundle.soft_tokens import BUDGETS
from gemtab.errors import CheckpointError, MediaError, UsageError
from gemtab.media.images import image_inputs, load_image
from gemtab.media.limits import MAX_PIXELS
from gemtab.media.rules import ImageRules, image_rules, target_size, video_rules
from gemtab.resources import REPOSITORY
from tests.media import oracle
from tests.media.image_kinds import KINDS, drawn
from tests.media.images import chunk, deep, images, png, saved, scene, unread

RULES = ImageRules(patch=16, pooling=3, max_soft_tokens=280, merged=False)


@pytest.fixture(scope="session")
def corpus() -> dict[str, bytes]:
    return images()


@pytest.fixture(scope="session")
def processor() -> dict[str, Any]:
    config: dict[str, Any] = json.loads((REPOSITORY / "models/tiny/processor_config.json").read_text())
    return config


def as_transformers_reads(content: bytes) -> Any:
    with Image.open(io.BytesIO(content)) as image:
        return convert_to_rgb(reference_load_image(image), return_numpy=True)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_images_are_read_as_transformers_does(corpus: dict[str, bytes]) -> None:
    for name, content in corpus.items():
        if name != "deep-grey.png":
            assert np.array_equal(load_image(content), as_transformers_reads(content)), name


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_read_as_transformers_does(kind: str) -> None:
    for content in drawn(kind, 3):
        assert np.array_equal(load_image(content), as_transformers_reads(content))


@pytest.mark.parametrize("interlaced", [False, True])
def test_grey_of_16_bits_keeps_the_higher_8(interlaced: bool) -> None:
    pixels = deep(33, 21, 1)
    found = load_image(png(pixels, 0, 16, interlaced=interlaced))
    assert np.array_equal(found, (pixels >> 8).repeat(3, -1))
    key = chunk(b"tRNS", pixels[4, 4].astype(">u2").tobytes())
    on_white = np.where(pixels == pixels[4, 4], 255, pixels >> 8).repeat(3, -1)
    assert np.array_equal(load_image(png(pixels, 0, 16, key, interlaced)), on_white)


def test_damaged_exif_is_ignored() -> None:
    pixels = scene(20, 30)
    content = saved(Image.fromarray(pixels), format="PNG", exif=b"Exif\0\0no TIFF at all")
    assert np.array_equal(load_image(content), pixels)


@pytest.mark.parametrize("kind", unread())
def test_kinds_that_are_known_but_not_read_are_named(kind: str) -> None:
    with pytest.raises(MediaError, match=f"is {kind}; only JPEG, PNG"):
        load_image(unread()[kind])


def test_inputs_are_those_of_transformers(corpus: dict[str, bytes]) -> None:
    reference = Gemma4ImageProcessorPil()
    for name, content in corpus.items():
        pixels = load_image(content)
        expected = reference(pixels, input_data_format="channels_last", return_tensors="np")
        real = expected["image_position_ids"][0][:, 0] >= 0
        found = image_inputs(pixels, RULES)
        assert np.allclose(found.patches, expected["pixel_values"][0][real], rtol=0, atol=1e-6), name
        assert np.array_equal(found.positions, expected["image_position_ids"][0][real]), name
        assert found.soft_tokens == expected["num_soft_tokens_per_image"][0], name


@pytest.mark.parametrize("family", ["gemma4", "gemma4_unified"])
def test_the_default_processors_round_resized_pixels_otherwise_by_one_step(family: str, tmp_path: Path) -> None:
    pixels = scene(217, 333)
    np.save(tmp_path / "image.npy", pixels)
    expected = oracle.processed(tmp_path, budget=140, frames=1)[f"image.{family}"]
    found = image_inputs(pixels, ImageRules(16, 3, 140, merged=family == "gemma4_unified"))
    assert np.array_equal(found.positions, expected["positions"])
    assert found.soft_tokens == expected["soft_tokens"]
    assert np.mean(np.abs(found.patches - expected["patches"]) <= 1 / 255 + 1e-6) >= 0.999


def test_a_thousand_sizes_have_transformers_target_for_every_budget() -> None:
    choice = random.Random(4)
    for _ in range(1000):
        height, width = (round(10 ** choice.uniform(0, 4)) for _ in range(2))
        for budget in BUDGETS:
            expected = get_aspect_ratio_preserving_size(height, width, 16, budget * 9, 3)
            assert target_size(height, width, RULES.within(budget)) == expected, (height, width, budget)


def test_the_rules_are_in_processor_config(processor: dict[str, Any]) -> None:
    assert image_rules(processor) == ImageRules(patch=16, pooling=3, max_soft_tokens=70, merged=False)
    assert video_rules(processor).frames == 32
    processor = {"image_processor": {"image_processor_type": "Gemma4UnifiedImageProcessor"}}
    assert image_rules(processor) == ImageRules(patch=16, pooling=3, max_soft_tokens=280, merged=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("resample", 2), ("image_mean", [0.5, 0.5, 0.5]), ("max_soft_tokens", 100), ("do_resize", False)],
)
def test_settings_that_are_not_known_are_rejected_and_named(processor: dict[str, Any], name: str, value: Any) -> None:
    changed = {**processor, "image_processor": {**processor["image_processor"], name: value}}
    with pytest.raises(CheckpointError, match=name):
        image_rules(changed)


def test_a_budget_is_one_of_five() -> None:
    with pytest.raises(UsageError, match="70, 140, 280, 560, 1120, not 100"):
        RULES.within(100)


@pytest.mark.parametrize(
    "name",
    ["4:2:0.jpg", "progressive.jpg", "rgb.png", "deep-rgb.png", "lossy.webp", "still.gif", "rgb.bmp", "rgb.avif"],
)
@pytest.mark.parametrize("kept", [0.05, 0.6, 0.99])
def test_half_a_file_is_called_damaged(corpus: dict[str, bytes], name: str, kept: float) -> None:
    with pytest.raises(MediaError, match="damaged"):
        load_image(corpus[name][: int(len(corpus[name]) * kept)])


def test_other_files_are_no_images_whatever_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("Not an image, but a shopping list.")
    with pytest.raises(MediaError, match=r"notes\.png cannot be read as an image.*JPEG, PNG"):
        load_image(tmp_path / "notes.png")


def test_an_empty_or_missing_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "nothing.jpg").touch()
    with pytest.raises(MediaError, match=r"nothing\.jpg is empty"):
        load_image(tmp_path / "nothing.jpg")
    with pytest.raises(MediaError, match=r"none\.jpg cannot be read: No such file"):
        load_image(tmp_path / "none.jpg")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (8193, 8192)])
def test_a_decompression_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(MediaError, match=f"the limit is {MAX_PIXELS:,}"):
        load_image(bomb)


def test_formats_for_which_pillow_starts_other_programs_are_no_images() -> None:
    assert "EPS" in Image.registered_extensions().values()
    with pytest.raises(MediaError, match="cannot be read as an image"):
        load_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
