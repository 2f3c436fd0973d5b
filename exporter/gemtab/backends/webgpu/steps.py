"""What fusion makes of a graph: the few composite operations that have kernels.

Each step is one kernel launch, or one for each piece of a weight or cache that is too big for a binding.
Values are named as in the graph.
"""

from dataclasses import dataclass, replace
from typing import Literal

from gemtab.graph import Value, Weight

Epilogue = Literal["none", "glu", "gelu_mul", "softcap"]


@dataclass(frozen=True)
class Picked:
    """Element `index` of each token's row of `count` in `value`: [T, count, width] -> [T, width]."""

    value: Value
    index: int
    count: int


@dataclass(frozen=True)
class Embed:
    """out[t, :columns] = table[id of t] * scale, where an id in `replaced` counts as `by`."""

    ids: Value
    table: Weight
    scale: float
    columns: int
    replaced: tuple[int, ...]
    by: int
    out: Value
    label: str


@dataclass(frozen=True)
class InsertRows:
    """x[t] = rows[t] where the id of t is one of `placeholders`, in place."""

    x: Value
    ids: Value
    rows: Value
    placeholders: tuple[int, ...]
    label: str


@dataclass(frozen=True)
class Matmul:
    """out = epilogue(x . weight[row_start:row_stop]^T * factor).

    glu: gelu(first half of the rows) * second half. gelu_mul: gelu(.) * operand. softcap: cap * tanh(. / cap).
    wide: the output is kept in f32, since it is a residual's addend, a head's input or the logits.
    """

    x: Value
    weight: Weight
    row_start: int
    row_stop: int
    out: Value
    label: str
    factor: float = 1.0
    epilogue: Epilogue = "none"
    cap: float = 0.0
    operand: Picked | None = None
    wide: bool = True


@dataclass(frozen=True)
class Glu:
    """out = gelu(first half of x's last axis) * second half: what a Matmul whose weight is in pieces leaves undone."""

    x: Value
    out: Value
    label: str


@dataclass(frozen=True)
class AddNorm:
    """sum = (x + rms_norm(y) * norm) * factor * scalar, and normed = rms_norm(sum) * next_norm.

    Without y, sum is x; without next_norm there is no `normed`. Rows are the last axis.
    """

    x: Value
    y: Value | None
    norm: Weight | None
    factor: float
    scalar: Weight | None
    sum: Value | None
    next_norm: Weight | None
    normed: Value | None
    eps: float
    label: str


@dataclass(frozen=True)
class Cache:
    """A layer's keys and values. window: how far back readers look; None for all the way."""

    name: str
    kv_heads: int
    head_size: int
    window: int | None


@dataclass(frozen=True)
class QkvHeads:
    """Norms and rotates the heads in a row of q, k and v: queries into `q`, keys and values into the cache.

    qkv: [T, (heads + 2 kv_heads) * head_size], less the parts that are not there. v_is_k: values are k's raw part.
    """

    qkv: Value
    heads: int
    q_norm: Weight | None
    q: Value | None
    k_norm: Weight | None
    cache: Cache | None
    v_is_k: bool
    head_size: int
    theta: float
    rotated_pairs: int
    eps: float
    label: str


@dataclass(frozen=True)
class Attend:
    """out[t] = attention of q[t] over the cache. visible: the last position that each token sees, its own if None."""

    q: Value
    heads: int
    cache: Cache
    scale: float
    out: Value
    label: str
    visible: Value | None = None


Step = Embed | InsertRows | Matmul | Glu | AddNorm | QkvHeads | Attend

__all__ = [
    "AddNorm", "Attend", "Cache", "Embed", "Epilogue", "Glu", "InsertRows", "Matmul", "Picked", "QkvHeads", "Step",
    "replace",
]  # fmt: skip
