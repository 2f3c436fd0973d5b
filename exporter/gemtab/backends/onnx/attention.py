"""Rotary embedding, caches and attention in plain operators.

Caches have the names and shapes of transformers.js. The inputs are `past_key_values.<layer>.key` and `.value`
[batch_size, kv_heads, past_sequence_length, head_size], all of one length, those of sliding layers too. The outputs
`present.…` have this step's tokens appended. `attention_mask` [batch_size, total_sequence_length] is 0 at padding.

The target's caches that a draft model reads have the names of transformers, e.g. `shared_kv_states.full_attention.key`.
The graph appends nothing to them, and `attention_mask` has their length.
"""

import numpy as np
import onnx_ir as ir

from gemtab.backends.onnx.emitter import BATCH, PAST, TOTAL, Emitter
from gemtab.graph import Node, Value, known

PAST_NAME = "past_key_values"

SHARED_NAME = "shared_kv_states"
"""Begins the names of a target's caches."""

PARTS_PER_TURN = 1 << 44
"""Integer parts of a full turn. Fine enough: half a part per position, over a million positions, is below the rounding
of f32. Coarse enough: an angle of a million radians is below 2 ** 63 parts."""

MASKED = -3.0e38
"""Score of a masked position. Finite, so that a row of padding, which sees nothing, does not become NaN."""


def rope(e: Emitter, node: Node) -> ir.Value:
    """Rotate x [B, T, heads, size] at positions [B, T]."""
    x, positions = e.get(node.value(0)), e.get(node.value(1))
    theta, pairs, factor = node.number("theta"), node.integer("rotated_pairs"), node.number("factor")
    return rotate(e, x, known(node.output.shape[-1]), positions, theta, pairs, factor)


def rotate(
    e: Emitter, x: ir.Value, size: int, positions: ir.Value, theta: float, pairs: int, factor: float = 1.0
) -> ir.Value:
    """Rotate the first `pairs` of the size / 2 pairs of x [B, T, heads, size] at positions [B, T] / factor."""
    cos, sin = (_angles(e, positions, size, theta, pairs, factor, function) for function in ("Cos", "Sin"))
    first, second = e.op_many("Split", 2, x, axis=-1, num_outputs=2)
    rotated_first = e.op("Sub", e.op("Mul", first, cos), e.op("Mul", second, sin))
    rotated_second = e.op("Add", e.op("Mul", second, cos), e.op("Mul", first, sin))
    return e.op("Concat", rotated_first, rotated_second, axis=-1)


def _angles(
    e: Emitter, positions: ir.Value, size: int, theta: float, rotated: int, factor: float, function: str
) -> ir.Value:
    """Return the cosine or sine of the angles [B, T, 1, size / 2]. The angle is 0 for pairs that are not rotated.

    In f32, the angle of position 131,071 would be off by up to 0.008, and not all builds of ONNX Runtime for browsers
    have f64. So angles are integers, in parts of a full turn, and whole turns are subtracted exactly.
    """
    key = (positions.name, theta, rotated, factor, size)

    def make() -> ir.Value:
        pairs = np.arange(size // 2)
        frequencies = np.where(pairs < rotated, theta ** (-2.0 * pairs / size) / factor, 0.0)
        parts = np.rint(frequencies / (2 * np.pi) * PARTS_PER_TURN)
        angle, turn = e.op("Mul", e.unsqueeze(positions, -1, -2), e.i64(parts)), e.i64(PARTS_PER_TURN)
        rest = e.op("Sub", angle, e.op("Mul", e.op("Div", angle, turn), turn))
        return e.op("Mul", e.cast(rest, ir.DataType.FLOAT), e.f32(2 * np.pi / PARTS_PER_TURN))

    return e.once((function, *key), lambda: e.op(function, e.once(("angles", *key), make)))


def kv_write(e: Emitter, node: Node) -> None:
    """Append k and v [B, T, kv_heads, size] to the layer's past. Defines the cache as the pair of both."""
    cache = node.attrs["cache"]
    assert isinstance(cache, str)
    _, heads, size = node.output.shape
    key, value = (
        _append(e, f"{PAST_NAME}.{cache.removeprefix('kv.')}.{part}", (heads, size), e.get(node.value(index)))
        for index, part in enumerate(("key", "value"))
    )
    e.caches[node.output.name] = (key, value)


def _append(e: Emitter, name: str, head_shape: tuple[int | str, int | str], new: ir.Value) -> ir.Value:
    heads, size = head_shape
    past = e.input(name, (BATCH, heads, PAST, size), ir.DataType.FLOAT)
    return e.op("Concat", past, e.op("Transpose", new, perm=(0, 2, 1, 3)), axis=2)


def read_cache(e: Emitter, cache: Value) -> None:
    """Declare a cache that is an input of the graph."""
    _, heads, size = cache.shape
    name = f"{SHARED_NAME}.{cache.name.removeprefix('kv.')}_attention"
    key, value = (e.input(f"{name}.{part}", (BATCH, heads, PAST, size), ir.DataType.FLOAT) for part in ("key", "value"))
    e.caches[cache.name] = (key, value)


def attention(e: Emitter, node: Node) -> ir.Value:
    """q [B, T, heads, size] over its cache: [B, T, heads, size]. Heads that share a KV head have an axis of their
    own."""
    heads, size = (known(dim) for dim in node.output.shape[1:])
    kv_heads = known(node.value(1).shape[1])
    keys, values = (e.unsqueeze(part, 2) for part in e.caches[node.value(1).name])
    q = e.reshape(e.get(node.value(0)), 0, 0, kv_heads, heads // kv_heads, size)
    scores = e.op("MatMul", e.op("Transpose", q, perm=(0, 2, 3, 1, 4)), e.op("Transpose", keys, perm=(0, 1, 2, 4, 3)))
    weights = attention_weights(e, scores, node.number("scale"), _seen(e, node))
    attended = e.op("Transpose", e.op("MatMul", weights, values), perm=(0, 3, 1, 2, 4))
    return e.reshape(attended, 0, 0, heads, size)


def attention_weights(e: Emitter, scores: ir.Value, scale: float, seen: ir.Value) -> ir.Value:
    """softmax(scores * scale) over the last axis, where `seen` bool, which broadcasts, is true."""
    if scale != 1.0:
        scores = e.op("Mul", scores, e.f32(scale))
    return e.op("Softmax", e.op("Where", seen, scores, e.f32(MASKED)), axis=-1)


def _seen(e: Emitter, node: Node) -> ir.Value:
    """Return which rows of the cache each token sees, [B, 1, 1, T, P + T] bool. Layers with one window share the mask.

    As in transformers, causality and window count rows of the cache, those of padding too. The tokens have the last
    rows; in a draft model, whose tokens are not appended, the rows after the cache.
    """
    positions, cache = node.value(2), node.value(1)
    window, ahead = node.attrs["window"], len(node.inputs) == 4
    appended = cache not in e.graph.inputs
    assert window is None or isinstance(window, int)

    def make() -> ir.Value:
        tokens, total = e.size(e.get(positions), 1), e.size(e.caches[cache.name][0], 2)
        first = e.op("Sub", total, tokens) if appended else total
        query = e.unsqueeze(e.op("Range", first, e.op("Add", first, tokens), e.i64(1)), 1)
        key = e.op("Range", e.i64(0), total, e.i64(1))
        last = query
        if ahead:
            ends = e.op("Add", e.get(node.value(3)), first)
            last = e.unsqueeze(ends, 1, 2, -1)
        seen = e.op("LessOrEqual", key, last)
        if window is not None:
            seen = e.op("And", seen, e.op("Greater", key, e.op("Sub", query, e.i64(window))))
        mask = e.input("attention_mask", (BATCH, TOTAL if appended else PAST), ir.DataType.INT64)
        return e.op("And", seen, e.unsqueeze(e.cast(mask, ir.DataType.BOOL), 1, 2, 3))

    return e.once(("seen", window, ahead), make)


def block_ends(e: Emitter, node: Node) -> ir.Value:
    """The index within the step, [B, T], of the last token of each token's block; its own index for tokens of no
    block."""
    blocks = e.get(node.value(0))
    rows, columns = e.unsqueeze(blocks, -1), e.unsqueeze(blocks, 1)
    same = e.op("And", e.op("Equal", rows, columns), e.op("GreaterOrEqual", rows, e.i64(0)))
    indices = e.op("Range", e.i64(0), e.size(blocks, 1), e.i64(1))
    return e.op("ReduceMax", e.op("Where", same, indices, e.unsqueeze(indices, 1)), e.i64([-1]), keepdims=0)
