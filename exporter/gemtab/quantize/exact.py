"""How much of a weight q4 keeps to the last bit: all of it, where a model was trained for Q4_0 (see `grid`)."""

import torch
from torch.nn.functional import pad

from gemtab.quantize.formats import BLOCK
from gemtab.quantize.packing import Planes, unpack

_FEW = 8
"""Rows that are looked at first."""


def exact_blocks(values: torch.Tensor, packed: Planes) -> int:
    """How many blocks of 32 columns of `values`, [..., columns], are what q4's planes say in bf16, value for value.

    0 where no block of a few rows is: so it costs little where there is no grid.
    """
    rows = values.reshape(-1, values.shape[-1])
    planes = {name: plane.reshape(len(rows), *plane.shape[values.ndim - 1 :]) for name, plane in packed.items()}
    apart = max(1, len(rows) // _FEW)
    few = {name: plane[::apart] for name, plane in planes.items()}
    if not bool(_same(rows[::apart], unpack(few, "q4", tuple(rows[::apart].shape))).any()):
        return 0
    return int(_same(rows, unpack(planes, "q4", tuple(rows.shape))).sum())


def _same(values: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
    """Whether each value of a block is what is stored, [rows, blocks]."""
    equal = pad(values == stored.to(torch.bfloat16).float(), (0, -values.shape[-1] % BLOCK), value=True)
    return equal.reshape(len(equal), -1, BLOCK).all(-1)
