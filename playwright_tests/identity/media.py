"""Images and audio of a conversation: the towers' inputs, and the positions of their tokens."""

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
class MediaItem:
    """An image or a stretch of audio whose tokens begin at `position` of the conversation: the inputs of its tower."""

    tower: Tower
    position: int
    tokens: int
    inputs: dict[str, np.ndarray]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the inputs as tensors."""
        return {name: torch.from_numpy(array) for name, array in self.inputs.items()}


def rows_of(media: Sequence[MediaItem], encode: Callable[[MediaItem], torch.Tensor]) -> list[Rows]:
    """Return the rows of each medium by `encode`, at its position."""
    return [Rows(one.position, encode(one), bidirectional=one.tower == "image") for one in media]


def reference_rows(spec: ModelSpec, weights: WeightReader, media: Sequence[MediaItem]) -> list[Rows]:
    """Return the reference's rows of each medium."""

    def encode(one: MediaItem) -> torch.Tensor:
        (rows,) = Reference(tower_graphs(spec)[one.tower], weights).run(one.tensors(), {}).values()
        return rows

    return rows_of(media, encode)


@dataclass(frozen=True)
class Turn:
    """New ids, including those of media, then greedy steps."""

    prompt: list[int]
    steps: int
    media: tuple[MediaItem, ...] = ()


class Cells(NamedTuple):
    """An image or a video frame, by its numbers of cells across and down."""

    columns: int
    rows: int
    frame: bool = False


Part = Literal["text"] | int | Cells
"""Text, audio of a number of spectrogram frames, or an image."""

_IMAGE = Cells(4, 3)
_FRAME = Cells(2, 5, frame=True)


class Writer:
    """Makes a conversation of random text, images, frames and audio, as far as the model takes them."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._random = np.random.default_rng(6)
        self._position = 0

    def turns(self) -> list[Turn]:
        """Return three turns with an image, a frame of another shape and two stretches of audio, in both orders. The
        second turn has only text."""
        first = self._turn(["text", _IMAGE, "text", 57, "text", _FRAME, "text"], 10)
        return [first, self._turn(["text"], 8), self._turn(["text", 38, _IMAGE, "text"], 10)]

    def _turn(self, parts: Sequence[Part], steps: int) -> Turn:
        ids: list[int] = []
        media: list[MediaItem] = []
        for part in parts:
            medium = self._medium(part, self._position + len(ids))
            if medium is None:
                # Ids from 30 up are text: special tokens and media placeholders come before.
                ids += self._random.integers(30, self._spec.text.vocabulary, 17).tolist()
            else:
                media.append(medium)
                ids += [self._placeholder(part)] * medium.tokens
        self._position += len(ids) + steps
        return Turn(ids, steps, tuple(media))

    def _medium(self, part: Part, position: int) -> MediaItem | None:
        if isinstance(part, Cells) and self._spec.vision is not None:
            return self._image(part.columns, part.rows, position)
        if isinstance(part, int) and self._spec.audio is not None:
            return self._audio(part, position)
        return None

    def _image(self, columns: int, rows: int, position: int) -> MediaItem:
        assert self._spec.vision is not None
        side = 1 if isinstance(self._spec.vision, PatchSpec) else self._spec.vision.pooling
        y, x = np.divmod(np.arange(columns * rows * side**2, dtype=np.int32), np.int32(columns * side))
        width = self._width("image")
        pixels = self._random.random((len(x), width), np.float32)
        inputs = {"pixel_values": pixels, "pixel_position_ids": np.stack([x, y], 1)}
        return MediaItem("image", position, columns * rows, inputs)

    def _audio(self, frames: int, position: int) -> MediaItem:
        assert self._spec.audio is not None
        features = self._random.standard_normal((frames, self._width("audio")), np.float32)
        tokens = -(-frames // 4) if isinstance(self._spec.audio, AudioSpec) else frames
        return MediaItem("audio", position, tokens, {"input_features": features})

    def _width(self, tower: Tower) -> int:
        return known(tower_graphs(self._spec)[tower].inputs[0].shape[1])

    def _placeholder(self, part: Part) -> int:
        image, audio, video = self._spec.text.media_ids
        if isinstance(part, Cells):
            return video if part.frame else image
        return audio
