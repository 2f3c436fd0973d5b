"""Images in Chromium equal the output of transformers' Gemma 4 processor."""

import random
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from gemtab.bundle.soft_tokens import BUDGETS
from gemtab.errors import MediaError
from gemtab.media.images import load_image, resize
from gemtab.media.limits import MAX_PIXELS
from gemtab.media.rules import ImageRules, target_size
from playwright_tests.conftest import BOTH_BROWSERS
from playwright_tests.media.conftest import Media, ScriptError
from tests.media import oracle
from tests.media.images import Array, chunk, images, png, saved, scanlines, scene, unread

TESTED_IN = BOTH_BROWSERS

STEP = 1 / 255 + 1e-6
"""Tolerance of pixel values."""

SHARE = 0.999
"""The fraction of values within the tolerance."""

RULES = {"patch": 16, "pooling": 3, "maxSoftTokens": BUDGETS[0], "merged": False}


@pytest.fixture(scope="session")
def corpus() -> dict[str, bytes]:
    return images()


def prepared(media: Media, name: str, content: bytes, **rules: Any) -> dict[str, Any]:
    """Return the page's result for an image; patches and positions with their rows."""
    inputs = media.call("prepareImage", content, name=name, rules={**RULES, **rules})
    rows = inputs["positions"].size // 2
    return {**inputs, "patches": inputs["patches"].reshape(rows, -1), "positions": inputs["positions"].reshape(rows, 2)}


def processed(pixels: Any) -> tuple[Any, Any, int]:
    """Return transformers' patches, positions and soft tokens, without padding."""
    out = Gemma4ImageProcessorPil(max_soft_tokens=BUDGETS[0])(
        pixels, input_data_format="channels_last", return_tensors="np"
    )
    real = out["image_position_ids"][0][:, 0] >= 0
    return out["pixel_values"][0][real], out["image_position_ids"][0][real], out["num_soft_tokens_per_image"][0]


def test_every_image_of_the_corpus_equals_transformers(
    media: Media, corpus: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    table, failed = [], []
    for name, content in corpus.items():
        patches, positions, soft_tokens = processed(load_image(content))
        found = prepared(media, name, content)
        same = np.array_equal(found["positions"], positions) and found["softTokens"] == soft_tokens
        errors = np.abs(found["patches"] - patches) if same else np.ones(1)
        share = np.mean(errors <= STEP)
        size = f"{found['width']} × {found['height']}"
        table.append(
            f"{name:24} {size:>11} {soft_tokens:4} tokens  within 1/255 {share:8.3%}  most {errors.max() * 255:.0f}"
        )
        if share < SHARE:
            failed.append(name)
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(table) + "\n")
    assert not failed


def test_decoding_alone_is_exact(media: Media, corpus: dict[str, bytes]) -> None:
    for name, content in corpus.items():
        found = media.call("decodeImage", content, name=name)
        expected = load_image(content)
        assert (found["height"], found["width"]) == expected.shape[:2], name
        off = np.abs(found["data"].astype(int) - expected.ravel())
        # Firefox's AVIF is converted again from its RGB, which several colours can give.
        exact = not (media.in_firefox and name.endswith(".avif"))
        assert not off.any() if exact else (off.max() <= 10 and (off > 0).mean() < 0.01), name


@pytest.mark.parametrize("lacking", [["VideoFrame"], ["VideoFrame", "webgl2"]])
def test_without_frames_and_webgl_opaque_images_are_exact_all_the_same(media: Media, lacking: list[str]) -> None:
    pixels = scene(2100, 30)  # longer than what is copied at a time
    found = media.call(
        "decodeImageWithout",
        png(pixels, 2),
        lacking=lacking,
    )
    assert np.array_equal(found["data"], pixels.ravel())


def reads(content: bytes) -> Array | None:
    """Return Python's result for a file; None where Python rejects it."""
    try:
        return load_image(content)
    except MediaError:
        return None


def shortened(corpus: dict[str, bytes]) -> dict[str, bytes]:
    """Return files with a wrong end; some of them are complete all the same."""
    jpeg, progressive, image = corpus["4:2:0.jpg"], corpus["progressive.jpg"], corpus["rgb.png"]
    rows = scanlines(scene(217, 333), 8)
    data, length = zlib.compress(rows), len(zlib.compress(rows))
    head, end = image[: image.index(b"IDAT") - 4], chunk(b"IEND", b"")
    mono = saved(Image.fromarray(scene(60, 77)).quantize(16), format="BMP")
    return {
        "jpeg without its end": jpeg[:-2],
        "jpeg with an end in the middle": jpeg[: len(jpeg) // 2] + b"\xff\xd9",
        "jpeg without its last bytes": jpeg[:-40],
        "jpeg with more behind": jpeg + bytes(99),
        "progressive without its end": progressive[:-2],
        "progressive with more behind": progressive + b"\xff" * 9,
        "png without its end": image[:-12],
        "png with more behind": image + b"more",
        "png with less in it": head + chunk(b"IDAT", zlib.compress(rows[:-1500])) + end,
        "png with more in it": head + chunk(b"IDAT", zlib.compress(rows + bytes(5000))) + end,
        "png with bytes behind its data": head + chunk(b"IDAT", data + b"more") + end,
        "png in small pieces": head + b"".join(chunk(b"IDAT", data[i : i + 900]) for i in range(0, length, 900)) + end,
        "png without half its data": head + chunk(b"IDAT", data[: length // 2]) + end,
        "bmp with more behind": corpus["rgb.bmp"] + bytes(7),
        "bmp without its last row": corpus["rgb.bmp"][:-999],
        "bmp of a palette": mono,
        "bmp of a palette without its last byte": mono[:-1],
    }


def test_files_that_end_elsewhere_are_read_as_in_python(media: Media, corpus: dict[str, bytes]) -> None:
    wrong = []
    for name, content in shortened(corpus).items():
        expected = reads(content)
        try:
            found = media.call("decodeImage", content, name=name)["data"]
        except ScriptError:
            found = None
        if (found is None) != (expected is None) or (expected is not None and (found != expected.ravel()).any()):
            wrong.append(name)
    assert wrong == []


@pytest.mark.parametrize(
    ("height", "width", "to_height", "to_width"),
    [
        (217, 333, 48, 96),
        (217, 333, 480, 720),
        (7, 1000, 96, 48),
        (1, 1, 336, 336),
        (90, 90, 90, 48),
        (64, 31, 96, 31),
        (300, 451, 240, 384),  # 60 rows and 67 columns less: rows first
        (500, 200, 240, 96),  # 260 and 104: columns first
        (500, 200, 292, 96),  # 208 and 104: rows first
        (300, 200, 240, 384),  # 60 less, 184 more: columns first
    ],
)
def test_resizing_is_pillows_to_the_bit(media: Media, height: int, width: int, to_height: int, to_width: int) -> None:
    pixels = scene(height, width)
    found = media.call(
        "resizeImage",
        pixels.tobytes(),
        width=width,
        height=height,
        toWidth=to_width,
        toHeight=to_height,
    )
    assert np.array_equal(found, resize(pixels, to_height, to_width).ravel())


def test_a_thousand_sizes_have_the_same_target_for_every_budget(media: Media) -> None:
    choice = random.Random(5)
    sizes = [(round(10 ** choice.uniform(0, 4)), round(10 ** choice.uniform(0, 4))) for _ in range(1000)]
    found = media.call(
        "targetSizes",
        sizes=sizes,
        budgets=BUDGETS,
        rules=RULES,
    )
    expected = [[list(target_size(*size, ImageRules(16, 3, budget, False))) for budget in BUDGETS] for size in sizes]
    assert found == expected


def test_the_towerless_size_gets_its_large_patches(media: Media, tmp_path: Path) -> None:
    pixels = scene(217, 333)
    np.save(tmp_path / "image.npy", pixels)
    expected = oracle.processed(tmp_path, budget=140, frames=1)["image.gemma4_unified"]
    found = prepared(media, "image.png", png(pixels, 2), merged=True, maxSoftTokens=140)
    assert np.array_equal(found["positions"], expected["positions"])
    assert found["softTokens"] == expected["soft_tokens"]
    assert np.mean(np.abs(found["patches"] - expected["patches"]) <= STEP) >= SHARE


def refusal(media: Media, name: str, content: bytes) -> str:
    """Return the page's error about a file that cannot be read as an image."""
    with pytest.raises(ScriptError) as caught:
        media.call("decodeImage", content, name=name)
    assert caught.value.name == "MediaError"
    assert str(caught.value).startswith(name)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "4:2:0.jpg",
        "progressive.jpg",
        "rgb.png",
        "deep-rgb.png",
        "lossy.webp",
        "lossless.webp",
        "still.gif",
        "rgb.bmp",
        "rgb.avif",
    ],
)
@pytest.mark.parametrize("kept", [0.05, 0.6, 0.99])
def test_half_a_file_is_called_damaged(media: Media, corpus: dict[str, bytes], name: str, kept: float) -> None:
    assert "damaged" in refusal(media, name, corpus[name][: int(len(corpus[name]) * kept)])


def test_other_files_are_no_images_whatever_they_are_called(media: Media) -> None:
    message = refusal(media, "notes.png", b"Not an image, but a shopping list.")
    assert "JPEG, PNG, WEBP" in message


@pytest.mark.parametrize("kind", unread())
def test_kinds_that_are_known_but_not_read_are_named(media: Media, kind: str) -> None:
    assert f"is a file of {kind}, but only JPEG, PNG" in refusal(media, "image.jpg", unread()[kind])


def test_an_empty_file_is_called_empty(media: Media) -> None:
    assert "0 bytes" in refusal(media, "nothing.jpg", b"")


def test_a_decompression_bomb_is_rejected_by_its_header(media: Media) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    message = refusal(media, "bomb.png", bomb)
    assert "60000 × 60000" in message and f"{MAX_PIXELS:,}" in message
