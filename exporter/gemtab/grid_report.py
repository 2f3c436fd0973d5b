"""What became of the values of a model that was trained for Q4_0."""

from collections.abc import Iterable, Mapping
from math import prod, sqrt

import torch

from gemtab.bundle.manifest import Grid, Inexact, WeightFormat
from gemtab.graph import Weight
from gemtab.quantize import BLOCK, WeightReader, pack, padded_columns, storage_format, unpack

_CHUNK = 4 << 20
"""Values that are read at a time."""


def grid_report(
    weights: Iterable[Weight], weight_format: WeightFormat, exact: Mapping[str, int], reader: WeightReader
) -> Grid | None:
    """What q4 keeps of the weights, of which `exact` tells how many blocks are kept to the last bit; None where fewer
    than half of them lie on a grid for the most part: such a model was not trained for Q4_0. Others are read again."""
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
    """The report in a line."""
    total = grid.exact + len(grid.others)
    return f"{grid.exact} of {total} matrices keep every scale and code, {len(grid.others)} are rounded anew"


def inexact_words(one: Inexact) -> str:
    """A weight that does not lie on the grid, in a line."""
    return f"{one.weight}: {one.exact:.1%} of its blocks kept, RMS error {one.error:.2%}"


def _blocks(weight: Weight) -> int:
    return prod(weight.shape[:-1]) * padded_columns(weight.shape[-1]) // BLOCK


def _error(weight: Weight, reader: WeightReader) -> float:
    """The RMS of what q4 loses of the weight, by that of its values."""
    lost = whole = 0.0
    step = max(1, _CHUNK // prod(weight.shape[1:]))
    for start in range(0, weight.shape[0], step):
        values = reader.read_rows(weight, start, min(start + step, weight.shape[0]))
        kept = unpack(pack(values, "q4"), "q4", tuple(values.shape)).to(torch.bfloat16)
        lost += float((kept - values).double().square().sum())
        whole += float(values.double().square().sum())
    return sqrt(lost / whole) if whole else 0.0
