"""Packing samples into rows of fixed length, so that few shapes occur and no time goes into padding."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .rendering import Sample

SHAPES: tuple[tuple[int, int], ...] = ((256, 12), (768, 4))
"""(tokens a row, rows a batch): a sample goes into the shortest row it fits in; longer ones are dropped."""


@dataclass
class Batch:
    """Rows of packed samples. B rows of T tokens, of which K a row count.

    ids: [B, T]; positions: [B, T], from 0 in each sample; samples: [B, T], which sample a token belongs to (-1: padding);
    at: [B, K] indices of the tokens that predict; labels: [B, K] what they predict (-100: unused slot).
    """

    ids: Tensor
    positions: Tensor
    samples: Tensor
    at: Tensor
    labels: Tensor

    @property
    def tokens(self) -> int:
        return self.ids.numel()


@dataclass
class _Row:
    length: int
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    @property
    def slots(self) -> int:
        return self.length * 3 // 8

    def fits(self, sample: Sample) -> bool:
        return len(self.ids) + len(sample.ids) <= self.length and len(self.at) + sum(sample.counts) <= self.slots

    def add(self, sample: Sample) -> None:
        start, number = len(self.ids), self.samples[-1] + 1 if self.samples else 0
        for index, (token, counts) in enumerate(zip(sample.ids, sample.counts, strict=True)):
            if counts:
                self.at.append(start + index - 1)
                self.labels.append(token)
        self.ids += sample.ids
        self.positions += range(len(sample.ids))
        self.samples += [number] * len(sample.ids)


def _padded(lists: Iterable[list[int]], length: int, filler: int) -> Tensor:
    return torch.tensor([values + [filler] * (length - len(values)) for values in lists])


def _batch(rows: list[_Row]) -> Batch:
    length, slots = rows[0].length, rows[0].slots
    return Batch(
        _padded((row.ids for row in rows), length, 0),
        _padded((row.positions for row in rows), length, 0),
        _padded((row.samples for row in rows), length, -1),
        _padded((row.at for row in rows), slots, 0),
        _padded((row.labels for row in rows), slots, -100),
    )


def batches(samples: Iterable[Sample]) -> Iterator[Batch]:
    """Packs an endless stream of samples; a batch comes out whenever the rows of one shape are full."""
    full: dict[int, list[_Row]] = {length: [] for length, _ in SHAPES}
    open_rows = {length: _Row(length) for length, _ in SHAPES}
    for sample in samples:
        for length, rows in SHAPES:
            if not _Row(length).fits(sample):
                continue
            if not open_rows[length].fits(sample):
                full[length].append(open_rows[length])
                open_rows[length] = _Row(length)
            open_rows[length].add(sample)
            if len(full[length]) == rows:
                yield _batch(full[length])
                full[length] = []
            break


def one_a_row(samples: Iterable[Sample], length: int) -> Batch:
    """One sample a row of `length` tokens. Raises ValueError if one does not fit."""
    rows = []
    for sample in samples:
        row = _Row(length)
        if not row.fits(sample):
            raise ValueError(f"a sample of {len(sample.ids)} tokens does not fit into a row of {length}")
        row.add(sample)
        rows.append(row)
    return _batch(rows)
