"""Rotary embedding, caches and attention in plain operators.

Caches have the names and shapes that transformers.js gives and takes back: `past_key_values.<layer>.key` and `.value`
[batch_size, kv_heads, past_sequence_length, head_size], all of one length, sliding layers' too; `present.…` with this
step's tokens appended. `attention_mask` [batch_size, total_sequence_length] is 0 at padding.

Caches that an assistant reads of its target have transformers' names, as `shared_kv_states.full_attention.key`; nothing
is appended to them, and `attention_mask` is as long as they are.
"""

import numpy as np
import onnx_ir as ir

from gemtab.backends.onnx.emitter import BATCH, PAST, TOTAL, Emitter
from gemtab.graph import Node, Value, known

PAST_NAME = "past_key_values"

SHARED_NAME = "shared_kv_states"
"""What a target's caches are called."""

PARTS_OF_A_TURN = 1 << 44
"""So fine that half a part a position, over a million of them, is no more than f32's own rounding; and so coarse that
an angle of a million radians is below 2 ** 63 parts."""

MASKED = -3.0e38
"""Score of a position that is not seen. Finite, so that a row of padding, which sees nothing, is not NaN."""


def rope(e: Emitter, node: Node) -> ir.Value:
    """x [B, T, heads, size] turned at positions [B, T]."""
    x, positions = e.get(node.value(0)), e.get(node.value(1))
    theta, pairs, factor = node.number("theta"), node.integer("rotated_pairs"), node.number("factor")
    return turn(e, x, known(node.output.shape[-1]), positions, theta, pairs, factor)


def turn(
    e: Emitter, x: ir.Value, size: int, positions: ir.Value, theta: float, pairs: int, factor: float = 1.0
) -> ir.Value:
    """The first `pairs` of the size / 2 pairs of x [B, T, heads, size], turned at positions [B, T] over factor."""
    cos, sin = (_angles(e, positions, size, theta, pairs, factor, function) for function in ("Cos", "Sin"))
    first, second = e.op_many("Split", 2, x, axis=-1, num_outputs=2)
    turned_first = e.op("Sub", e.op("Mul", first, cos), e.op("Mul", second, sin))
    turned_second = e.op("Add", e.op("Mul", second, cos), e.op("Mul", first, sin))
    return e.op("Concat", turned_first, turned_second, axis=-1)


def _angles(
    e: Emitter, positions: ir.Value, size: int, theta: float, turning: int, factor: float, function: str
) -> ir.Value:
    """Cosine or sine of the angles [B, T, 1, size / 2]; angle 0 for pairs that do not turn.

    As f32, the angle of position 131,071 would be off by up to 0.008, and not every build of ONNX Runtime for browsers
    computes in f64. So angles are integers, in parts of a turn, of which whole turns are taken off exactly.
    """
    key = (positions.name, theta, turning, factor, size)

    def make() -> ir.Value:
        pairs = np.arange(size // 2)
        frequencies = np.where(pairs < turning, theta ** (-2.0 * pairs / size) / factor, 0.0)
        parts = np.rint(frequencies / (2 * np.pi) * PARTS_OF_A_TURN)
        angle, turn = e.op("Mul", e.unsqueeze(positions, -1, -2), e.i64(parts)), e.i64(PARTS_OF_A_TURN)
        rest = e.op("Sub", angle, e.op("Mul", e.op("Div", angle, turn), turn))
        return e.op("Mul", e.cast(rest, ir.DataType.FLOAT), e.f32(2 * np.pi / PARTS_OF_A_TURN))

    return e.once((function, *key), lambda: e.op(function, e.once(("angles", *key), make)))


def kv_write(e: Emitter, node: Node) -> None:
    """Append k and v [B, T, kv_heads, size] to the layer's past; the pair is what the cache's value becomes."""
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
    """q [B, T, heads, size] over its cache: [B, T, heads, size]. Heads that share KV lie on an axis of their own."""
    heads, size = (known(dim) for dim in node.output.shape[1:])
    kv_heads = known(node.value(1).shape[1])
    keys, values = (e.unsqueeze(part, 2) for part in e.caches[node.value(1).name])
    q = e.reshape(e.get(node.value(0)), 0, 0, kv_heads, heads // kv_heads, size)
    scores = e.op("MatMul", e.op("Transpose", q, perm=(0, 2, 3, 1, 4)), e.op("Transpose", keys, perm=(0, 1, 2, 4, 3)))
    weights = attention_weights(e, scores, node.number("scale"), _seen(e, node))
    attended = e.op("Transpose", e.op("MatMul", weights, values), perm=(0, 3, 1, 2, 4))
    return e.reshape(attended, 0, 0, heads, size)


def attention_weights(e: Emitter, scores: ir.Value, scale: float, seen: ir.Value) -> ir.Value:
    """Softmax over the last axis of scores times `scale`, where `seen` bool, which broadcasts, says so."""
    if scale != 1.0:
        scores = e.op("Mul", scores, e.f32(scale))
    return e.op("Softmax", e.op("Where", seen, scores, e.f32(MASKED)), axis=-1)


def _seen(e: Emitter, node: Node) -> ir.Value:
    """What each token sees of the cache, [B, 1, 1, T, P + T] bool; shared by all layers of one window.

    Causality and window go by place in the cache, which padding takes too, as in transformers. The places of tokens are
    its last ones, or those behind it where tokens are not appended.
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
    """The place within the step [B, T] of the last token of each token's block, its own for tokens of none."""
    blocks = e.get(node.value(0))
    rows, columns = e.unsqueeze(blocks, -1), e.unsqueeze(blocks, 1)
    same = e.op("And", e.op("Equal", rows, columns), e.op("GreaterOrEqual", rows, e.i64(0)))
    places = e.op("Range", e.i64(0), e.size(blocks, 1), e.i64(1))
    return e.op("ReduceMax", e.op("Where", same, places, e.unsqueeze(places, 1)), e.i64([-1]), keepdims=0)
