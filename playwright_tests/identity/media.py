"""Prompts with pictures and sound: their ids, the towers' inputs, and the rows that each backend makes of them."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from playwright.sync_api import Page

from gemtab.backends.media import Media, Rows
from gemtab.backends.onnx.run import OnnxText, OnnxTower
from gemtab.backends.reference import Reference
from gemtab.backends.webgpu.executor import Executor
from gemtab.backends.webgpu.lower import Activation
from gemtab.backends.webgpu.tower import TowerExecutor
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import AUDIO_STEM, VISION_STEM
from gemtab.graph import Graph, known
from gemtab.model.audio import audio_graph
from gemtab.model.spec import AudioSpec, ModelSpec, PatchSpec
from gemtab.model.vision import vision_graph
from gemtab.parity.text import ReferenceText
from gemtab.quantize import WeightReader
from playwright_tests.identity.backends import LOAD, TURN, reference_turn

Tower = Literal["image", "audio"]


@dataclass(frozen=True)
class Placed:
    """A picture or a stretch of sound whose tokens begin at `position` of the conversation: its tower's inputs."""

    tower: Tower
    position: int
    tokens: int
    inputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class MediaTurn:
    """Ids with media among them, then so many greedy steps."""

    prompt: list[int]
    media: list[Placed]
    steps: int


class Writer:
    """Makes a conversation of random text, pictures and sound, as far as the model takes them."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._random = np.random.default_rng(6)
        self._position = 0

    def turns(self) -> list[MediaTurn]:
        """Pictures of two shapes and two sounds, in both orders, over three turns; the second has text alone."""
        first = self._turn(["text", (4, 3), "text", 57, "text", (2, 5), "text"], 10)
        return [first, self._turn(["text"], 8), self._turn(["text", 38, (4, 3), "text"], 10)]

    def _turn(self, parts: Sequence[str | int | tuple[int, int]], steps: int) -> MediaTurn:
        """parts: text, the frames of a sound, or the cells of a picture across and down."""
        ids: list[int] = []
        media: list[Placed] = []
        for part in parts:
            placed = self._medium(part, self._position + len(ids))
            if placed is None:
                # Ids from 30 up are text: special tokens and media placeholders come before.
                ids += self._random.integers(30, self._spec.text.vocabulary, 17).tolist()
            else:
                media.append(placed)
                ids += [self._placeholder(placed.tower)] * placed.tokens
        self._position += len(ids) + steps
        return MediaTurn(ids, media, steps)

    def _medium(self, part: str | int | tuple[int, int], position: int) -> Placed | None:
        if isinstance(part, tuple) and self._spec.vision is not None:
            return self._picture(*part, position)
        if isinstance(part, int) and self._spec.audio is not None:
            return self._sound(part, position)
        return None

    def _picture(self, columns: int, rows: int, position: int) -> Placed:
        assert self._spec.vision is not None
        side = 1 if isinstance(self._spec.vision, PatchSpec) else self._spec.vision.pooling
        y, x = np.divmod(np.arange(columns * rows * side**2, dtype=np.int32), np.int32(columns * side))
        width = known(vision_graph(self._spec.vision, self._spec.text).inputs[0].shape[1])
        pixels = self._random.random((len(x), width), np.float32)
        inputs = {"pixel_values": pixels, "pixel_position_ids": np.stack([x, y], 1)}
        return Placed("image", position, columns * rows, inputs)

    def _sound(self, frames: int, position: int) -> Placed:
        assert self._spec.audio is not None
        width = known(audio_graph(self._spec.audio, self._spec.text).inputs[0].shape[1])
        features = self._random.standard_normal((frames, width), np.float32)
        tokens = -(-frames // 4) if isinstance(self._spec.audio, AudioSpec) else frames
        return Placed("audio", position, tokens, {"input_features": features})

    def _placeholder(self, tower: Tower) -> int:
        return self._spec.text.media_ids[{"image": 0, "audio": 1}[tower]]


def reference_rows(spec: ModelSpec, weights: WeightReader, media: Sequence[Placed]) -> list[Rows]:
    """What the reference makes of each."""
    graphs: dict[Tower, Graph] = {}
    if spec.vision is not None:
        graphs["image"] = vision_graph(spec.vision, spec.text)
    if spec.audio is not None:
        graphs["audio"] = audio_graph(spec.audio, spec.text)
    return _rows(media, lambda one: _only(Reference(graphs[one.tower], weights).run(_tensors(one), {})))


def reference_media_turn(
    model: ReferenceText, prompt: Sequence[int], media: Sequence[Rows], steps: int
) -> tuple[list[int], list[torch.Tensor]]:
    """As `reference_turn`, of a prompt with media."""
    model.see(prompt[:-1], media)
    return reference_turn(model, prompt[-1:], steps)


class MediaBackend(Protocol):
    """Keeps the conversation from turn to turn."""

    def turn(self, prompt: Sequence[int], media: Sequence[Placed], wanted: Sequence[int]) -> list[int]:
        """As `Backend.turn`."""


class OnnxMedia:
    """onnxruntime on the CPU."""

    def __init__(self, folder: Path, weights: WeightFormat) -> None:
        self._model = OnnxText(folder, weights)
        stems = {"image": VISION_STEM, "audio": AUDIO_STEM}
        self._open: Callable[[str], OnnxTower] = lambda tower: OnnxTower(folder, stems[tower], weights)

    def turn(self, prompt: Sequence[int], media: Sequence[Placed], wanted: Sequence[int]) -> list[int]:
        chosen = [int(self._model.see(prompt, _rows(media, self._encode))[-1].argmax())]
        return chosen + [int(self._model.step([token]).argmax()) for token in wanted[:-1]]

    def _encode(self, one: Placed) -> torch.Tensor:
        """A batch of one, without padding."""
        batch = {name: tensor[None] for name, tensor in _tensors(one).items()}
        if one.tower == "audio":
            batch["input_features_mask"] = torch.ones(batch["input_features"].shape[:2], dtype=torch.bool)
        else:
            batch["pixel_position_ids"] = batch["pixel_position_ids"].to(torch.int64)
        return self._open(one.tower).run(**batch)


class WgpuMedia:
    """The Python executors."""

    def __init__(self, folder: Path, activation: Activation) -> None:
        self._folder, self._activation = folder, activation
        self._executor = Executor(folder, activation)

    def turn(self, prompt: Sequence[int], media: Sequence[Placed], wanted: Sequence[int]) -> list[int]:
        self._executor.fill(prompt[:-1], [self._encode(one) for one in media])
        chosen = [self._executor.decode(prompt[-1])]
        for token in wanted[:-1]:
            chosen.append(self._executor.decode(None if chosen[-1] == token else token))
        return chosen

    def _encode(self, one: Placed) -> Media:
        tower = TowerExecutor(self._folder, one.tower, self._activation, self._executor.runner.device)
        rows, tokens = tower.encode_to_buffer(one.inputs)
        return Media(one.position, tokens, rows, picture=one.tower == "image")


_ENCODE = """async (media) => {
    globalThis.placed = [];
    for (const { tower, position, tokens, rows, inputs } of media) {
        const arrays = Object.entries(inputs).map(([name, { type, data }]) => {
            const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0)).buffer;
            return [name, type === "f" ? new Float32Array(bytes) : new Uint32Array(bytes)];
        });
        const made = await (await engine.tower(tower)).encode(Object.fromEntries(arrays), { tokens, rows });
        placed.push({ position, rows: made, picture: tower === "image" });
    }
}"""


class ChromiumMedia:
    """The engine in a tab, which must be closed after use."""

    def __init__(self, page: Page, site: str, bundle: str) -> None:
        self._page = page
        page.goto(site + "example.html")
        page.evaluate(LOAD, [site, bundle])

    def turn(self, prompt: Sequence[int], media: Sequence[Placed], wanted: Sequence[int]) -> list[int]:
        self._page.evaluate(_ENCODE, [_message(one) for one in media])
        chosen: list[int] = self._page.evaluate(TURN, [list(prompt), list(wanted)])
        return chosen


def _message(one: Placed) -> dict[str, object]:
    """A medium as the page is given it."""
    inputs = {
        name: {"type": array.dtype.kind, "data": base64.b64encode(array.tobytes()).decode()}
        for name, array in one.inputs.items()
    }
    rows = len(next(iter(one.inputs.values())))
    return {"tower": one.tower, "position": one.position, "tokens": one.tokens, "rows": rows, "inputs": inputs}


def _rows(media: Sequence[Placed], encode: Callable[[Placed], torch.Tensor]) -> list[Rows]:
    return [Rows(one.position, encode(one), picture=one.tower == "image") for one in media]


def _tensors(one: Placed) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in one.inputs.items()}


def _only(outputs: dict[str, torch.Tensor]) -> torch.Tensor:
    (output,) = outputs.values()
    return output
