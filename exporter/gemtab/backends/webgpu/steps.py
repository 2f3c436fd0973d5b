"""The steps: composite operations that have kernels. Fusion turns a graph into steps.

A step becomes one kernel launch, or one launch per piece of a weight or cache that is too large for a binding. Values
have the names of the graph.
"""

from dataclasses import dataclass, replace
from typing import Literal

from gemtab.graph import Value, Weight

Epilogue = Literal["none", "glu", "sigmoid_glu", "gelu_mul", "softcap", "silu"]

INFINITE = 3.4028234663852886e38
"""The largest f32: the bound for no bound."""

Bounds = tuple[Weight, Weight]
"""Bounds (low, high) of the checkpoint."""


@dataclass(frozen=True)
class Picked:
    """value[:, index] of a value [T, count, width]: [T, width]."""

    value: Value
    index: int
    count: int


@dataclass(frozen=True)
class Embed:
    """out[t] = table[ids[t], :columns] * scale, with `replacement` for every id in `replaced`."""

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
    """x[t] = rows[t] if ids[t] is one of `placeholders`, in place."""

    x: Value
    ids: Value
    rows: Value
    placeholders: tuple[int, ...]
    label: str


@dataclass(frozen=True)
class Matmul:
    """out = epilogue(y), with y = x @ weight[row_start:row_stop].T * factor.

    epilogue   none         y
               glu          gelu(first half of y) * second half
               sigmoid_glu  first half of y * sigmoid(second half)
               gelu_mul     gelu(y) * operand
               softcap      cap * tanh(y / cap)
               silu         y * sigmoid(y)

    ranges: input and output scales of the activations, one per source of the matrix: see GraphBuilder.linear. Then x *
    x_factor is rounded, and the product is rounded before it is multiplied by factor.

    In a tower, x may be x * affine[0] + affine[1] or clamp(x, x_bounds), and y may be y + bias or clamp(y, bounds).
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
    """ids, weights = the experts of each token and their weights: see GraphBuilder.route_top_k."""

    scores: Value
    expert_scale: Weight
    weights: Value
    ids: Value
    label: str


@dataclass(frozen=True)
class ExpertMatmul:
    """out[t, i] = epilogue(weight[ids[t, i]] @ x[t]), or @ x[t, i]: [T, k, rows].

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
    """out = rms_norm(dense) * dense_norm + rms_norm(sum over i of weights[t, i] * slots[t, i]) * combined_norm.

    dense: output of the dense MLP. slots: outputs of the token's experts.
    """

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
    """The epilogue `glu` or `sigmoid_glu` of a Matmul whose weight is in pieces, as a step of its own."""

    x: Value
    out: Value
    label: str
    epilogue: Epilogue = "glu"


@dataclass(frozen=True)
class AddNorm:
    """sum = (x + rms_norm(y) * norm * y_factor) * factor * scalar; normed = rms_norm(sum) * next_norm.

    Rows are the last axis. Without y, sum is x. Without norm, y is added without a norm. Without next_norm, normed has
    no weight. y_bound, sum_bound: a norm's input v is max(-bound, min(v, bound)). second: rms_norm(sum) * second_norm,
    a second norm of the same sum.
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
    """A layer's keys and values. window: the most positions that a reader sees; None for all."""

    name: str
    kv_heads: int
    head_size: int
    window: int | None


@dataclass(frozen=True)
class QkvHeads:
    """Norms and rotates the heads of q and k, norms v; stores queries in `q`, and keys and values in the cache.

    qkv: [T, (heads + 2 kv_heads) * head_size], without absent parts. v_is_k: values are the part of k before its norm.
    v_normed: values go through a norm without a weight. theta, rotated_pairs, factor: see GraphBuilder.rope.
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
    """out[t] = attention of q[t] over the cache. visible: the last position that each token sees; its own if None."""

    q: Value
    heads: int
    cache: Cache
    scale: float
    out: Value
    label: str
    visible: Value | None = None


@dataclass(frozen=True)
class AddPositions:
    """x[n] += table[px * position_step] + table[py * position_step + axis_step], (px, py) = positions[n], in place."""

    x: Value
    positions: Value
    table: Weight
    position_step: int
    axis_step: int
    label: str


@dataclass(frozen=True)
class LayerNorm:
    """out = (x - mean) / sqrt(variance + eps) * weight + bias."""

    x: Value
    weight: Weight
    bias: Weight
    out: Value
    eps: float
    label: str


@dataclass(frozen=True)
class RopeHeads:
    """out = axial_rope(rms_norm(x) * norm), for the heads of x [N, heads, size]: see GraphBuilder.axial_rope.

    Without norm, the norm has no weight. Without positions, heads are not rotated.
    """

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
    """out = (mean of the side * side patches of each cell * factor - mean) * deviation. Without mean and deviation, the
    factor comes last."""

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
    """out = max(layer_norm(subsample(x)) * norm, 0), normed over the channels: see GraphBuilder.subsample.

    halvings: how often the spectrogram's rows were halved before x.
    """

    x: Value
    kernel: Weight
    norm: Weight
    eps: float
    halvings: int
    out: Value
    label: str


@dataclass(frozen=True)
class Depthwise:
    """out = silu(rms_norm(max(-bound, min(causal_depthwise(x), bound))) * norm)."""

    x: Value
    kernel: Weight
    bound: float
    norm: Weight
    eps: float
    out: Value
    label: str


@dataclass(frozen=True)
class Sinusoids:
    """out = the table of GraphBuilder.sinusoids, computed at export."""

    out: Value


@dataclass(frozen=True)
class LocalAttend:
    """out = attention over a window of rows: see GraphBuilder.local_attention."""

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
