"""transformers.js loads the bundle unchanged, and decodes the reference's ids.

Its processor writes prompts with empty lines around media, and resizes with the browser's canvas. Therefore the
reference gets the inputs of this processor.
"""

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page

from gemtab.backends.media import Rows
from gemtab.backends.reference import Reference
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.graph import Graph
from gemtab.model.audio import audio_graph
from gemtab.model.vision import vision_graph
from gemtab.parity.greedy import MAX_TIE_SHARE, compare_greedy
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import ACTIVATIONS
from gemtab.quantize import DequantisedWeights
from playwright_tests.conftest import TINY
from playwright_tests.in_page import in_page
from playwright_tests.transformers_js import open_transformers_js

STEPS = 12


@dataclass(frozen=True)
class Question:
    """A question.

    text: the question; images: sizes in pixels; samples: number of audio samples at 16 kHz, 0 for none.
    """

    text: str
    images: tuple[tuple[int, int], ...] = ()
    samples: int = 0


QUESTIONS = {
    "text": Question("Hello! Who are you?"),
    "image": Question("What is this?", images=((200, 150),)),
    "images of two sizes": Question("Which is larger?", images=((64, 300), (500, 210))),
    "audio": Question("What do you hear?", samples=20_000),
    "image and audio": Question("Do they fit?", images=((96, 96),), samples=9_999),
}


@pytest.fixture(scope="module")
def transformers_page(browser: Browser, served: str) -> Iterator[Page]:
    """A page with the bundle `tiny` loaded."""
    page = browser.new_page()
    open_transformers_js(page, served)
    page.evaluate(in_page("transformers.load"), "tiny")
    yield page
    page.close()


@pytest.fixture(scope="module")
def stored() -> DequantisedWeights:
    """The checkpoint's weights as the bundle stores them."""
    return DequantisedWeights(CheckpointWeights(Checkpoint.open(TINY), load_spec(TINY)), "q4")


@pytest.mark.parametrize("name", QUESTIONS)
def test_it_chooses_the_references_tokens(name: str, transformers_page: Page, stored: DequantisedWeights) -> None:
    question = QUESTIONS[name]
    answer = transformers_page.evaluate(
        in_page("transformers.ask"), [question.text, question.images, question.samples, STEPS]
    )
    ids, chosen = answer["ids"], answer["chosen"]
    media = rows_of_images(answer, stored) + rows_of_audio(answer, stored)
    assert len(media) == len(question.images) + bool(question.samples)
    text = ReferenceText(load_spec(TINY).text, stored)
    logits = [text.see(ids, media)[-1]]
    for token in chosen[:-1]:
        logits.append(text.step([token]))
    match = compare_greedy(torch.stack(logits), chosen, ACTIVATIONS["f32"].tie)
    assert match.first_difference is None, f"{chosen} instead of {[int(row.argmax()) for row in logits]}"
    assert match.ties <= max(1, MAX_TIE_SHARE * len(chosen))


def tensor(plain: dict[str, Any], dtype: torch.dtype) -> torch.Tensor:
    return torch.frombuffer(bytearray(b64decode(plain["bytes"])), dtype=dtype).reshape(plain["shape"])


def rows(graph: Graph, stored: DequantisedWeights, **inputs: torch.Tensor) -> torch.Tensor:
    """Return the reference's soft tokens of one image or audio."""
    (features,) = Reference(graph, stored).run(inputs, {}).values()
    return features


def runs(ids: list[int], placeholder: int) -> list[int]:
    """Return the beginning of each run of a placeholder."""
    return [at for at, one in enumerate(ids) if one == placeholder and ids[at - 1] != placeholder]


def rows_of_images(answer: dict[str, Any], stored: DequantisedWeights) -> list[Rows]:
    """Return the reference's rows of the processor's images, without padding."""
    if answer["pixels"] is None:
        return []
    spec, made = load_spec(TINY), []
    assert spec.vision
    graph = vision_graph(spec.vision, spec.text)
    images = zip(tensor(answer["pixels"], torch.float32), tensor(answer["positions"], torch.int64), strict=True)
    starts = runs(answer["ids"], placeholder("image_token_id"))
    for start, (pixels, positions) in zip(starts, images, strict=True):
        counted = positions[:, 0] >= 0
        assert not counted.all(), "padding is meant here"
        features = rows(graph, stored, pixel_values=pixels[counted], pixel_position_ids=positions[counted])
        made.append(Rows(start, features, bidirectional=True))
    return made


def rows_of_audio(answer: dict[str, Any], stored: DequantisedWeights) -> list[Rows]:
    """Return the reference's rows of the processor's audio, without padding."""
    if answer["audio"] is None:
        return []
    spec = load_spec(TINY)
    assert spec.audio
    (features,), (mask,) = tensor(answer["audio"], torch.float32), tensor(answer["mask"], torch.bool)
    (start,) = runs(answer["ids"], placeholder("audio_token_id"))
    made = rows(audio_graph(spec.audio, spec.text), stored, input_features=features[mask])
    return [Rows(start, made, bidirectional=False)]


def placeholder(name: str) -> int:
    """Return the placeholder's id in config.json."""
    found: int = json.loads((TINY / "config.json").read_text())[name]
    return found
