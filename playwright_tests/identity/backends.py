"""Each way of running a bundle, as something that takes prompts and gives back the ids it would choose.

All are told the reference's ids. They decode freely while they agree; after a step that differs they go on with the
reference's id, so that one near-tie does not make all later steps differ.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from playwright.sync_api import Page

from gemtab.backends.onnx.run import OnnxText
from gemtab.backends.webgpu.executor import Executor
from gemtab.bundle.manifest import WeightFormat
from gemtab.parity.text import ReferenceText


class Backend(Protocol):
    """Keeps the conversation from turn to turn."""

    def turn(self, prompt: Sequence[int], wanted: Sequence[int]) -> list[int]:
        """Appends the prompt, then chooses as many ids as are wanted: the id it chooses at each step. The last
        one is not in its caches yet: it comes first in the next prompt."""


def reference_turn(model: ReferenceText, prompt: Sequence[int], steps: int) -> tuple[list[int], list[torch.Tensor]]:
    """The reference's greedy ids after `prompt`, and the logits they were chosen from."""
    ids, logits = [], [model.step(prompt)]
    for _ in range(steps - 1):
        ids.append(int(logits[-1].argmax()))
        logits.append(model.step(ids[-1:]))
    return [*ids, int(logits[-1].argmax())], logits


class OnnxBackend:
    """onnxruntime on the CPU."""

    def __init__(self, folder: Path, weights: WeightFormat) -> None:
        self._model = OnnxText(folder, weights)

    def turn(self, prompt: Sequence[int], wanted: Sequence[int]) -> list[int]:
        inputs = [list(prompt), *[[token] for token in wanted[:-1]]]
        return [int(self._model.step(ids).argmax()) for ids in inputs]


class WgpuBackend:
    """The Python executor."""

    def __init__(self, folder: Path, activation: str) -> None:
        self._executor = Executor(folder, activation)

    def turn(self, prompt: Sequence[int], wanted: Sequence[int]) -> list[int]:
        self._executor.fill(prompt[:-1])
        chosen = [self._executor.decode(prompt[-1])]
        for token in wanted[:-1]:
            # None: the id stays where the sampler left it, on the GPU.
            chosen.append(self._executor.decode(None if chosen[-1] == token else token))
        return chosen


LOAD = """async ([site, bundle]) => {
    const { TextEngine } = await import(`${site}gemtab-engine.js`);
    globalThis.engine = await TextEngine.load(`${site}bundles/${bundle}/`);
    globalThis.engine.setSampling({ temperature: 0, topK: 0, topP: 1, seed: 0 });
}"""

TURN = """async ([prompt, wanted]) => {
    await engine.fill(Uint32Array.from(prompt.slice(0, -1)), { media: globalThis.placed ?? [] });
    const chosen = [];
    let next = prompt.at(-1);
    while (chosen.length < wanted.length) {
        for await (const id of engine.decode(next, { maxTokens: wanted.length - chosen.length })) {
            chosen.push(id);
            next = wanted[chosen.length - 1];
            if (id !== next) break;
        }
    }
    return chosen;
}"""


class ChromiumBackend:
    """The engine in a tab, which must be closed after use."""

    def __init__(self, page: Page, site: str, bundle: str) -> None:
        self._page = page
        page.goto(site + "example.html")
        page.evaluate(LOAD, [site, bundle])

    def turn(self, prompt: Sequence[int], wanted: Sequence[int]) -> list[int]:
        chosen: list[int] = self._page.evaluate(TURN, [list(prompt), list(wanted)])
        return chosen
