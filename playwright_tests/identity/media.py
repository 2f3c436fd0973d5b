"""Pictures and sound of a conversation: the towers' inputs, and where the tokens stand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch

from gemtab.backends.media import Rows
from gemtab.backends.reference import Reference
from gemtab.bundle.manifest import Tower
from gemtab.graph import known
from gemtab.model.spec import AudioSpec, ModelSpec, PatchSpec
from gemtab.model.towers import tower_graphs
from gemtab.quantize import WeightReader


@dataclass(frozen=True)
class Placed:
    """A picture or a stretch of sound whose tokens begin at `position` of the conversation: its tower's inputs."""

    tower: Tower
    position: int
    tokens: int
    inputs: dict[str, np.ndarray]

    def tensors(self) -> dict[str, torch.Tensor]:
        """The inputs as tensors."""
        return {name: torch.from_numpy(array) for name, array in self.inputs.items()}


def rows_of(media: Sequence[Placed], encode: Callable[[Placed], torch.Tensor]) -> list[Rows]:
    """What `encode` makes of each, in its place."""
    return [Rows(one.position, encode(one), bidirectional=one.tower == "image") for one in media]


def reference_rows(spec: ModelSpec, weights: WeightReader, media: Sequence[Placed]) -> list[Rows]:
    """What the reference makes of each."""

    def encode(one: Placed) -> torch.Tensor:
        (rows,) = Reference(tower_graphs(spec)[one.tower], weights).run(one.tensors(), {}).values()
        return rows

    return rows_of(media, encode)


@dataclass(frozen=True)
class Turn:
    """New ids, media among them, then so many greedy steps."""

    prompt: list[int]
    steps: int
    media: tuple[Placed, ...] = ()


class Cells(NamedTuple):
    """A picture, or a frame of a clip, by its cells across and down."""

    columns: int
    rows: int
    frame: bool = False


Part = Literal["text"] | int | Cells
"""Text, a sound of so many frames, or a picture."""

_PICTURE = Cells(4, 3)
_FRAME = Cells(2, 5, frame=True)


class Writer:
    """Makes a conversation of random text, pictures, frames and sound, as far as the model takes them."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._random = np.random.default_rng(6)
        self._position = 0

    def turns(self) -> list[Turn]:
        """A picture, a frame of another shape and two sounds, in both orders, over three turns; the second has text
        alone."""
        first = self._turn(["text", _PICTURE, "text", 57, "text", _FRAME, "text"], 10)
        return [first, self._turn(["text"], 8), self._turn(["text", 38, _PICTURE, "text"], 10)]

    def _turn(self, parts: Sequence[Part], steps: int) -> Turn:
        ids: list[int] = []
        media: list[Placed] = []
        for part in parts:
            placed = self._medium(part, self._position + len(ids))
            if placed is None:
                # Ids from 30 up are text: special tokens and media placeholders come before.
                ids += self._random.integers(30, self._spec.text.vocabulary, 17).tolist()
            else:
                media.append(placed)
                ids += [self._placeholder(part)] * placed.tokens
        self._position += len(ids) + steps
        return Turn(ids, steps, tuple(media))

    def _medium(self, part: Part, position: int) -> Placed | None:
        if isinstance(part, Cells) and self._spec.vision is not None:
            return self._picture(part.columns, part.rows, position)
        if isinstance(part, int) and self._spec.audio is not None:
            return self._sound(part, position)
        return None

    def _picture(self, columns: int, rows: int, position: int) -> Placed:
        assert self._spec.vision is not None
        side = 1 if isinstance(self._spec.vision, PatchSpec) else self._spec.vision.pooling
        y, x = np.divmod(np.arange(columns * rows * side**2, dtype=np.int32), np.int32(columns * side))
        width = self._width("image")
        pixels = self._random.random((len(x), width), np.float32)
        inputs = {"pixel_values": pixels, "pixel_position_ids": np.stack([x, y], 1)}
        return Placed("image", position, columns * rows, inputs)

    def _sound(self, frames: int, position: int) -> Placed:
        assert self._spec.audio is not None
        features = self._random.standard_normal((frames, self._width("audio")), np.float32)
        tokens = -(-frames // 4) if isinstance(self._spec.audio, AudioSpec) else frames
        return Placed("audio", position, tokens, {"input_features": features})

    def _width(self, tower: Tower) -> int:
        return known(tower_graphs(self._spec)[tower].inputs[0].shape[1])

    def _placeholder(self, part: Part) -> int:
        image, audio, video = self._spec.text.media_ids
        if isinstance(part, Cells):
            return video if part.frame else image
        return audio
