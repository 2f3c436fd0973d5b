"""The ways to run a bundle: each takes prompts and returns the ids that it would choose.

All get the reference's ids. They decode freely while they agree. After a step that differs they continue with the
reference's id, so that one near-tie does not change all later steps.
"""

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import torch
from playwright.sync_api import Page

from gemtab.backends.media import Media, Rows
from gemtab.backends.onnx.run import OnnxText, OnnxTower
from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.engine.load import load_tower
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import TOWER_STEMS
from gemtab.parity.text import ReferenceText
from playwright_tests.identity.media import MediaItem, rows_of
from playwright_tests.in_page import in_page


class Backend(Protocol):
    """Keeps the conversation between turns."""

    def turn(self, prompt: Sequence[int], media: Sequence[MediaItem], wanted: Sequence[int]) -> list[int]:
        """Append the prompt, then choose one id at each step, as many as `wanted` has. The last id is not in the caches
        yet: it is the first of the next prompt. Rows of media are the backend's own."""


def reference_turn(
    model: ReferenceText, prompt: Sequence[int], media: Sequence[Rows], steps: int
) -> tuple[list[int], list[torch.Tensor]]:
    """Return the reference's greedy ids after `prompt`, and their logits."""
    if media:
        model.see(prompt[:-1], media)
        prompt = prompt[-1:]
    ids, logits = [], [model.step(prompt)]
    for _ in range(steps - 1):
        ids.append(int(logits[-1].argmax()))
        logits.append(model.step(ids[-1:]))
    return [*ids, int(logits[-1].argmax())], logits


class OnnxBackend:
    """onnxruntime on the CPU."""

    def __init__(self, folder: Path, weights: WeightFormat) -> None:
        self._model = OnnxText(folder, weights)
        self._tower = cache(lambda tower: OnnxTower(folder, TOWER_STEMS[tower], weights))

    def turn(self, prompt: Sequence[int], media: Sequence[MediaItem], wanted: Sequence[int]) -> list[int]:
        chosen = [int(self._model.see(prompt, rows_of(media, self._encode))[-1].argmax())]
        return chosen + [int(self._model.step([token]).argmax()) for token in wanted[:-1]]

    def _encode(self, one: MediaItem) -> torch.Tensor:
        return self._tower(one.tower).encode(one.inputs)


class WgpuBackend:
    """The Python executors."""

    def __init__(self, folder: Path, activation: Activation) -> None:
        self._executor = TextEngine(folder, activation)
        device = self._executor.runner.device
        self._tower = cache(lambda tower: load_tower(folder, tower, device))

    def turn(self, prompt: Sequence[int], media: Sequence[MediaItem], wanted: Sequence[int]) -> list[int]:
        self._executor.fill(prompt[:-1], [self._encode(one) for one in media])
        chosen = [self._executor.decode(prompt[-1])]
        for token in wanted[:-1]:
            # None: the id stays where the sampler left it, on the GPU.
            chosen.append(self._executor.decode(None if chosen[-1] == token else token))
        return chosen

    def _encode(self, one: MediaItem) -> Media:
        rows, tokens = self._tower(one.tower).encode_to_buffer(one.inputs)
        return Media(one.position, tokens, rows, bidirectional=one.tower == "image")


class TabBackend:
    """The engine in a tab, with the plan of this activation. The caller closes the tab."""

    def __init__(self, page: Page, site: str, bundle: str, activation: Activation) -> None:
        self._page = page
        page.goto(site + "example.html")
        assert page.evaluate(in_page("engine.loadGreedy"), [site, bundle])["activation"] == activation

    def turn(self, prompt: Sequence[int], media: Sequence[MediaItem], wanted: Sequence[int]) -> list[int]:
        arguments = [list(prompt), [_message(one) for one in media], list(wanted)]
        chosen: list[int] = self._page.evaluate(in_page("engine.turn"), arguments)
        return chosen


def _message(one: MediaItem) -> dict[str, object]:
    """Return a medium in the form that the page gets."""
    inputs = {
        name: {"type": array.dtype.kind, "data": base64.b64encode(array.tobytes()).decode()}
        for name, array in one.inputs.items()
    }
    rows = len(next(iter(one.inputs.values())))
    return {"tower": one.tower, "position": one.position, "tokens": one.tokens, "rows": rows, "inputs": inputs}
