"""The scales with which caches in f16 hold keys and values.

In an f16 plan, only the caches are f16: they take more memory and bandwidth as a conversation grows. All other values
are f32. The model's next norm removes their magnitude, so any of them may be large: gelu(gate) * up, the input of a
matrix, queries, the residual, logits.

f16 ends at 65,504 and loses bits below 6.1e-5. So a cache stores numbers times a power of two, the cache's scale. The
scale brings the largest number that the cache can ever hold to between 16,384 and 32,768. So no number saturates, and
numbers have all 11 bits down to 2^-28 of the largest. The bound of a number follows from weights alone:

keys                             sqrt(head size) * the norm's largest weight: the length of the norm's output, which
                                 rotation does not change
values                           sqrt(head size)
values without a norm (Gemma 3)  the length of a matrix row times the length of the norm's output before the matrix
"""

from dataclasses import dataclass
from math import floor, isfinite, log2, sqrt
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Activation = Literal["f32", "f16"]

CACHE_BYTES: Final[dict[Activation, int]] = {"f32": 4, "f16": 2}
"""Bytes of a number in a cache."""

F16_MAX: Final = 65504.0
"""The largest f16."""

_AIM = 32768.0
"""Upper bound of a scaled number."""

_MAX_EXPONENT = 100
"""Keeps scales, and their products with numbers, within normal f32."""

_MARGIN = 2.0
"""A row of a quantised matrix is less than twice as long as the row of weights: 4 bits move each value of a block by at
most 1/14 of the block's largest, which is 0.41 of the block's length."""


@dataclass(frozen=True)
class CacheScales:
    """The powers of two by which keys and values are multiplied before a cache stores them."""

    keys: float = 1.0
    values: float = 1.0


def cache_scale(largest: float) -> float:
    """Return the power of two that brings `largest` to between 16,384 and 32,768; 1 if `largest` is 0 or infinite."""
    if not (largest > 0 and isfinite(largest)):
        return 1.0
    exponent = floor(log2(_AIM / largest))
    return float(2.0 ** min(max(exponent, -_MAX_EXPONENT), _MAX_EXPONENT))


def normed_bound(size: int, weights: npt.NDArray[np.float32] | None) -> float:
    """Return the bound of a number in a norm's output [size], times the norm's weights; None for no weights."""
    return sqrt(size) * (1.0 if weights is None else float(np.abs(weights).max()))


def product_bound(rows: npt.NDArray[np.float32], norm: npt.NDArray[np.float32] | None) -> float:
    """Return the bound of `rows` [n, columns] of a matrix times a norm's output, times the norm's weights [columns]."""
    weighted = rows if norm is None else rows * norm
    return _MARGIN * sqrt(rows.shape[1]) * float(np.sqrt(np.square(weighted, dtype=np.float64).sum(axis=1)).max())
