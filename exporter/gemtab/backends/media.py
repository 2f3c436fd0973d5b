"""Rows of embeddings that replace those of placeholders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Rows:
    """The output of a tower for an image, a video frame or a stretch of audio.

    position: of the first placeholder. rows: [tokens, hidden] f32. bidirectional: the tokens see each other, in a model
    with `image_blocks`; True for images and frames.
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

    rows: [tokens, hidden] f32 in the backend's own form, e.g. a GPU buffer. bidirectional: as in Rows.
    """

    position: int
    tokens: int
    rows: Any
    bidirectional: bool

    @property
    def end(self) -> int:
        """The position after the last placeholder."""
        return self.position + self.tokens


def media_inputs(hidden: int, step: range, media: Sequence[Rows]) -> dict[str, "torch.Tensor"]:
    """Return the inputs `media` [T, hidden] and `visible` [T] of `gemtab.model.text.fill_graph` for the positions
    `step`.

    An image must be inside or outside `step` as a whole.
    """
    import torch

    rows, visible = torch.zeros(len(step), hidden), torch.arange(step.start, step.stop, dtype=torch.int32)
    for one in _within(step, media):
        begin, end = one.position - step.start, one.end - step.start
        rows[begin:end] = one.rows
        if one.bidirectional:
            visible[begin:end] = one.end - 1
    return {"media": rows, "visible": visible}


def block_numbers(step: range, media: Sequence[Rows]) -> "torch.Tensor":
    """Return the input `block_ids` [T] of `gemtab.model.text.decoder_graph` for the positions `step`: the number of
    each token's image, -1 for none."""
    import torch

    blocks = torch.full((len(step),), -1, dtype=torch.int64)
    for number, one in enumerate(one for one in _within(step, media) if one.bidirectional):
        blocks[one.position - step.start : one.end - step.start] = number
    return blocks


def _within(step: range, media: Sequence[Rows]) -> list[Rows]:
    return [one for one in media if step.start <= one.position < step.stop]
