"""Image files of every kind: transformers' patches of the file, and Python's and Chromium's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gemtab.bundle.soft_tokens import BUDGETS
from gemtab.media.images import image_inputs, load_image
from gemtab.media.rules import ImageRules
from playwright_tests.corpus.table import Row
from playwright_tests.media.conftest import Media, adapter, firefox_media, media  # noqa: F401
from tests.media.image_kinds import KINDS, processed
from tests.media.image_kinds import drawn as drawn_images
from tests.tables import CORPUS_LINE

BOUNDS: dict[str, float] = {"JPEG, CMYK with black": 3}
"""Tolerance in Chromium, in 255ths: its decoder multiplies ink by black and truncates where Pillow rounds. That is 1 in
a pixel, which resizing can sharpen. Everything else is equal."""

FIREFOX_BOUNDS = BOUNDS | {
    **dict.fromkeys(["AVIF", "AVIF, alpha", "AVIF, animated"], 10),
    "AVIF, turned": 128,
}
"""Tolerance in Firefox. Its RGB of AVIFs has chroma that is not smoothed. Where channels are clipped at 0 or 255,
several colours are possible. In a rotated image of odd size, blocks of one colour begin elsewhere and are not found:
edges are as sharp as Firefox's, at most 84 off."""

ROUNDING = 1e-3
"""Tolerance of a byte that became a float, in 255ths."""


def python_inputs(content: bytes, budget: int) -> tuple[Any, Any]:
    found = image_inputs(load_image(content), ImageRules(16, 3, budget, merged=False))
    return found.patches, found.positions


def browser_inputs(content: bytes, budget: int, page: Media) -> tuple[Any, Any]:
    rules = {"patch": 16, "pooling": 3, "maxSoftTokens": budget, "merged": False}
    found = page.call("prepareImage", content, name="image", rules=rules)
    positions = found["positions"].reshape(-1, 2)
    return found["patches"].reshape(len(positions), -1), positions


def difference(found: tuple[Any, Any], expected: tuple[Any, Any]) -> float:
    """Return the largest difference of values, in 255ths; infinite where patches have other positions."""
    if not np.array_equal(found[1], expected[1]):
        return np.inf
    most = float(np.abs(found[0] - expected[0]).max()) * 255
    return most if most > ROUNDING else 0.0


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("kind", KINDS)
def test_images_are_those_of_transformers(
    kind: str,
    drawn: Callable[[int, int], int],
    media: Media,  # noqa: F811
    firefox_media: Media,  # noqa: F811
    record_property: Callable[[str, object], None],
) -> None:
    row = Row("image", kind)
    bounds = {"Python": 0, "Chromium": BOUNDS.get(kind, 0), "Firefox": FIREFOX_BOUNDS.get(kind, 0)}
    failed = []
    for index, content in enumerate(drawn_images(kind, drawn(1, 12))):
        budget = BUDGETS[index % 2]
        expected = processed(content, budget)
        found = {
            "Python": python_inputs(content, budget),
            "Chromium": browser_inputs(content, budget, media),
            "Firefox": browser_inputs(content, budget, firefox_media),
        }
        for name, inputs in found.items():
            most = difference(inputs, expected)
            row.add(name, most == 0, most)
            if most > bounds[name] + ROUNDING:
                failed.append(f"{name}: file {index} differs by {most:.3g} of 255")
    record_property(CORPUS_LINE, str(row))
    assert not failed
