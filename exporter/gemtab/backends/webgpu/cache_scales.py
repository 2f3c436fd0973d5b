"""What the caches of a plan keep of keys and values.

A plan for f16 has nothing in f16 but its caches: they are what takes memory and bandwidth as a conversation grows. All
else is f32, since in a model whose next norm takes the size away again anything may be large: gelu(gate) * up, the
input of a matrix, queries, a residual, logits.

f16 ends at 65,504 and loses places below 6.1e-5. A cache is therefore kept times a power of two, its scale, which
takes the largest number that the cache can ever hold to between 16,384 and 32,768. So nothing saturates, and a number
has all 11 bits down to 2^-28 of the largest. How large a number can be follows from weights alone:

keys                    a norm's output is at most sqrt(head size) long, times the norm's largest weight; turning a
                        pair leaves its length
values                  as keys, of a norm without a weight
values that stay as     a row of the matrix times the norm before it cannot make more than the product of their
they are (Gemma 3)      lengths
"""

from dataclasses import dataclass
from math import floor, isfinite, log2, sqrt
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Activation = Literal["f32", "f16"]

CACHE_BYTES: Final[dict[Activation, int]] = {"f32": 4, "f16": 2}
"""Of a number in a cache."""

F16_MAX: Final = 65504.0
"""The largest f16."""

_AIM = 32768.0
_MOST_EXPONENT = 100
"""So that scales are ordinary f32, and their products with a number still are."""

_MARGIN = 2.0
"""A row of stored codes is less than twice as long as the row of weights that they stand for: 4 bits move each value of
a block by a 14th of its largest at most, which is 0.41 of its length."""


@dataclass(frozen=True)
class CacheScales:
    """What keys and values are multiplied by before a cache keeps them, powers of two."""

    keys: float = 1.0
    values: float = 1.0


def cache_scale(largest: float) -> float:
    """The power of two that takes `largest` to between 16,384 and 32,768; 1 for none."""
    if not (largest > 0 and isfinite(largest)):
        return 1.0
    exponent = floor(log2(_AIM / largest))
    return float(2.0 ** min(max(exponent, -_MOST_EXPONENT), _MOST_EXPONENT))


def normed_bound(size: int, weights: npt.NDArray[np.float32] | None) -> float:
    """The largest number of a row of so many that a norm has made, times its weights."""
    return sqrt(size) * (1.0 if weights is None else float(np.abs(weights).max()))


def product_bound(rows: npt.NDArray[np.float32], norm: npt.NDArray[np.float32] | None) -> float:
    """The largest number of `rows` [n, columns] of a matrix times a row that a norm has made, times its weights."""
    weighted = rows if norm is None else rows * norm
    return _MARGIN * sqrt(rows.shape[1]) * float(np.sqrt(np.square(weighted, dtype=np.float64).sum(axis=1)).max())
