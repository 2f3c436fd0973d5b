"""Rows of embeddings that stand in the places of placeholders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Rows:
    """What a tower made of a picture, a frame or a clip, [tokens, hidden], for the placeholders from `position` on.

    picture: one picture or frame, whose tokens see each other where the model has it so.
    """

    position: int
    rows: "torch.Tensor"
    bidirectional: bool

    @property
    def end(self) -> int:
        """The position after the last placeholder."""
        return self.position + len(self.rows)


@dataclass(frozen=True)
class Media:
    """Rows of embeddings for the placeholders at positions `position` … `position` + `tokens` - 1.

    rows: [tokens, hidden] f32 as the backend has them, a buffer of its GPU for instance. picture: as in Rows.
    """

    position: int
    tokens: int
    rows: Any
    bidirectional: bool

    @property
    def end(self) -> int:
        """The position after the last."""
        return self.position + self.tokens


def media_inputs(hidden: int, step: range, media: Sequence[Rows]) -> dict[str, "torch.Tensor"]:
    """The inputs `media` and `visible` of `gemtab.model.text.fill_graph`, for tokens at the positions of `step`, which
    divides no picture."""
    import torch

    rows, visible = torch.zeros(len(step), hidden), torch.arange(step.start, step.stop, dtype=torch.int32)
    for one in _within(step, media):
        begin, end = one.position - step.start, one.end - step.start
        rows[begin:end] = one.rows
        if one.bidirectional:
            visible[begin:end] = one.end - 1
    return {"media": rows, "visible": visible}


def block_numbers(step: range, media: Sequence[Rows]) -> "torch.Tensor":
    """The input `block_ids` of `gemtab.model.text.decoder_graph`, for tokens at the positions of `step`: which picture
    a token is of, -1 for none."""
    import torch

    blocks = torch.full((len(step),), -1, dtype=torch.int64)
    for number, one in enumerate(one for one in _within(step, media) if one.bidirectional):
        blocks[one.position - step.start : one.end - step.start] = number
    return blocks


def _within(step: range, media: Sequence[Rows]) -> list[Rows]:
    return [one for one in media if step.start <= one.position < step.stop]
