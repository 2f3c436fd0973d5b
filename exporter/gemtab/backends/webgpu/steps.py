"""What fusion makes of a graph: the few composite operations that have kernels.

Each step is one kernel launch, or one for each piece of a weight or cache that is too big for a binding.
Values are named as in the graph.
"""

from dataclasses import dataclass, replace
from typing import Literal

from gemtab.graph import Value, Weight

Epilogue = Literal["none", "glu", "sigmoid_glu", "gelu_mul", "softcap", "silu"]

INFINITE = 3.4028234663852886e38
"""The largest f32, which bounds nothing."""

Bounds = tuple[Weight, Weight]
"""Learned bounds, low and high."""


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
    replacement: int
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

    glu: gelu(first half of the rows) * second half; sigmoid_glu: first half * sigmoid(second). gelu_mul: gelu(.) *
    operand. softcap: cap * tanh(. / cap). silu: . * sigmoid(.).

    ranges: scales of activations, of each source of the matrix, on both sides: see GraphBuilder.linear. x is multiplied
    by x_factor before it is rounded, the rounded product by `factor`.

    In a tower: x is x * affine[0] + affine[1], or kept within `x_bounds`; to the product `bias` is added or it is kept
    within `bounds`, before the epilogue.
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
    affine: tuple[float, float] | None = None
    x_bounds: Bounds | None = None
    bounds: Bounds | None = None
    bias: Weight | None = None
    ranges: tuple[Weight, Weight] | None = None
    x_factor: float = 1.0


@dataclass(frozen=True)
class Route:
    """The ids of each token's experts and their weights: see GraphBuilder.route_top_k."""

    scores: Value
    expert_scale: Weight
    weights: Value
    ids: Value
    label: str


@dataclass(frozen=True)
class ExpertMatmul:
    """out[t, i] = epilogue(x[t] or x[t, i] . weight[ids[t, i]]^T), out being [T, k, rows].

    x: [T, columns] or [T, k, columns].
    """

    x: Value
    ids: Value
    weight: Weight
    out: Value
    label: str
    epilogue: Literal["none", "glu"] = "none"


@dataclass(frozen=True)
class CombineExperts:
    """out = rms_norm(dense) * dense_norm + rms_norm(sum over i of weights[t, i] * slots[t, i]) * combined_norm."""

    dense: Value
    dense_norm: Weight
    slots: Value
    weights: Value
    combined_norm: Weight
    out: Value
    eps: float
    label: str


@dataclass(frozen=True)
class Glu:
    """Gates one half of x's last axis by the other, as the epilogue of that name: what a Matmul whose weight is in
    pieces leaves undone."""

    x: Value
    out: Value
    label: str
    epilogue: Epilogue = "glu"


@dataclass(frozen=True)
class AddNorm:
    """sum = (x + rms_norm(y) * norm * y_factor) * factor * scalar, and normed = rms_norm(sum) * next_norm.

    Without y, sum is x; without `norm`, y is added as it is; without `next_norm`, `normed` has no weight. Rows are the
    last axis. y_bound, sum_bound: what a norm's input is kept within. second = rms_norm(sum) * second_norm, where there
    are two to be made of one sum.
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
    y_factor: float = 1.0
    y_bound: float = INFINITE
    sum_bound: float = INFINITE
    second_norm: Weight | None = None
    second: Value | None = None


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
    v_normed: values go through a norm without weight. theta, rotated_pairs, factor: see GraphBuilder.rope.
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
    factor: float = 1.0
    v_normed: bool = True


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


@dataclass(frozen=True)
class AddPositions:
    """x[n] += the table's rows for the position of n on either axis, in place: see GraphBuilder.embed_positions."""

    x: Value
    positions: Value
    table: Weight
    position_step: int
    axis_step: int
    label: str


@dataclass(frozen=True)
class LayerNorm:
    """out = (x - mean) / deviation * weight + bias."""

    x: Value
    weight: Weight
    bias: Weight
    out: Value
    eps: float
    label: str


@dataclass(frozen=True)
class RopeHeads:
    """out = the heads of x [N, heads, size], normed (times `norm` where there is one) and, where `positions` are given,
    turned by them: see GraphBuilder.axial_rope."""

    x: Value
    norm: Weight | None
    positions: Value | None
    theta: float
    out: Value
    eps: float
    label: str


@dataclass(frozen=True)
class FullAttend:
    """out = attention of every row of q [N, heads, size] over every row of k and v [N, kv_heads, size]."""

    q: Value
    k: Value
    v: Value
    scale: float
    out: Value
    label: str


@dataclass(frozen=True)
class Pool:
    """out = (mean of the side * side patches of each cell * factor - mean) * deviation, the last two where they are."""

    x: Value
    positions: Value
    side: int
    factor: float
    mean: Weight | None
    deviation: Weight | None
    out: Value
    label: str


@dataclass(frozen=True)
class Subsample:
    """out = relu(layer_norm over the channels of a convolution that halves time and frequency): see
    GraphBuilder.subsample. halvings: how often the input's rows were halved before, which tells how many there are."""

    x: Value
    kernel: Weight
    norm: Weight
    eps: float
    halvings: int
    out: Value
    label: str


@dataclass(frozen=True)
class Depthwise:
    """out = silu(rms_norm(causal_depthwise(x), kept within bound) * norm)."""

    x: Value
    kernel: Weight
    bound: float
    norm: Weight
    eps: float
    out: Value
    label: str


@dataclass(frozen=True)
class Sinusoids:
    """out = the table of GraphBuilder.sinusoids, made at export."""

    out: Value


@dataclass(frozen=True)
class LocalAttend:
    """out = attention over the rows just before: see GraphBuilder.local_attention."""

    q: Value
    k: Value
    v: Value
    relative: Value
    dim_scale: Weight
    window: int
    scale: float
    key_scale: float
    cap: float
    out: Value
    label: str


Step = (
    Embed | InsertRows | Matmul | Glu | AddNorm | QkvHeads | Attend | Route | ExpertMatmul | CombineExperts
    | AddPositions | LayerNorm | RopeHeads | FullAttend | Pool | Subsample | Depthwise | Sinusoids | LocalAttend
)  # fmt: skip

__all__ = [
    "INFINITE",
    "AddNorm",
    "AddPositions",
    "Attend",
    "Bounds",
    "Cache",
    "CombineExperts",
    "Depthwise",
    "Embed",
    "Epilogue",
    "ExpertMatmul",
    "FullAttend",
    "Glu",
    "InsertRows",
    "LayerNorm",
    "LocalAttend",
    "Matmul",
    "Picked",
    "Pool",
    "QkvHeads",
    "RopeHeads",
    "Route",
    "Sinusoids",
    "Step",
    "Subsample",
    "replace",
]  # fmt: skip
