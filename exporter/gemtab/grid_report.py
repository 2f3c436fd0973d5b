"""Report how exactly q4 stores a model that was trained for Q4_0."""

from collections.abc import Iterable, Mapping
from math import prod, sqrt

import torch

from gemtab.bundle.manifest import Grid, Inexact, WeightFormat
from gemtab.graph import Weight
from gemtab.quantize import BLOCK, WeightReader, pack, padded_columns, storage_format, unpack

_CHUNK = 4 << 20
"""Values that are read at once."""


def grid_report(
    weights: Iterable[Weight], weight_format: WeightFormat, exact: Mapping[str, int], reader: WeightReader
) -> Grid | None:
    """Return how exactly q4 stores the weights. exact: number of losslessly stored blocks of each weight, by name.

    None where fewer than half of the weights are mostly on a grid: the model was then not trained for Q4_0. Weights
    that lose precision are read again to measure their error.
    """
    blocks = {weight: _blocks(weight) for weight in weights if storage_format(weight, weight_format) == "q4"}
    shares = {weight: exact.get(weight.name, 0) / count for weight, count in blocks.items()}
    if not shares or sum(share > 0.5 for share in shares.values()) < len(shares) / 2:
        return None
    others = [
        Inexact(weight=weight.name, exact=share, error=_error(weight, reader))
        for weight, share in shares.items()
        if share < 1
    ]
    return Grid(exact=len(shares) - len(others), others=tuple(others))


def grid_words(grid: Grid) -> str:
    """Return the report as one line."""
    total = grid.exact + len(grid.others)
    return f"{grid.exact} of {total} matrices are stored without loss, {len(grid.others)} are rounded again"


def inexact_words(one: Inexact) -> str:
    """Return one line on a weight that is not on the grid."""
    return f"{one.weight}: {one.exact:.1%} of its blocks are stored without loss, RMS error {one.error:.2%}"


def _blocks(weight: Weight) -> int:
    return prod(weight.shape[:-1]) * padded_columns(weight.shape[-1]) // BLOCK


def _error(weight: Weight, reader: WeightReader) -> float:
    """Return the RMS of the weight's error in q4, relative to the RMS of its values."""
    lost = whole = 0.0
    step = max(1, _CHUNK // prod(weight.shape[1:]))
    for start in range(0, weight.shape[0], step):
        values = reader.read_rows(weight, start, min(start + step, weight.shape[0]))
        kept = unpack(pack(values, "q4"), "q4", tuple(values.shape)).to(torch.bfloat16)
        lost += float((kept - values).double().square().sum())
        whole += float(values.double().square().sum())
    return sqrt(lost / whole) if whole else 0.0
