"""The ONNX form of each op: one function per op. An op without a function cannot be exported."""

from collections.abc import Callable

import onnx_ir as ir

from gemtab.backends.onnx.attention import attention, block_ends, kv_write, rope
from gemtab.backends.onnx.centroids import linear_rows, members, scatter, top_k
from gemtab.backends.onnx.emitter import TO_END, Emitter
from gemtab.backends.onnx.experts import expert_linear, route_top_k, weighted_sum
from gemtab.backends.onnx.rounding import rounded_linear
from gemtab.backends.onnx.towers import (
    axial_rope,
    causal_depthwise,
    embed_positions,
    full_attention,
    local_attention,
    pool,
    sinusoids,
    subsample,
)
from gemtab.backends.onnx.weights import lookup, matmul
from gemtab.graph import Node, Weight

Emission = Callable[[Emitter, Node], ir.Value | None]
"""Emits a node. Returns the ONNX value of the node's only output, or None if the function defines the outputs."""


def replace_ids(e: Emitter, node: Node) -> ir.Value:
    """ids, with `replacement` for every id in `replaced`."""
    ids, replaced = e.get(node.value(0)), node.attrs["replaced"]
    assert isinstance(replaced, tuple)
    if not replaced:
        return ids
    matches = e.op("Equal", e.unsqueeze(ids, -1), e.i64(replaced))
    any_match = e.op("ReduceMax", e.cast(matches, ir.DataType.INT32), e.i64([-1]), keepdims=0)
    return e.op("Where", e.cast(any_match, ir.DataType.BOOL), e.i64(node.attrs["replacement"]), ids)


def embed(e: Emitter, node: Node) -> ir.Value:
    """table[ids, :columns] * scale."""
    table, columns = node.weight(1), node.attrs["columns"]
    assert isinstance(columns, int)
    rows = lookup(e, table, e.get(node.value(0)), 2)
    if columns < table.shape[1]:
        rows = e.slice(rows, 0, columns, -1)
    return e.op("Mul", rows, e.f32(node.attrs["scale"]))


def keep_last(e: Emitter, node: Node) -> ir.Value:
    """x[-count:], the last `count` rows. For count 0, x[-0:] is all rows, as specified."""
    start = e.reshape(e.op("Neg", e.get(node.value(1))), 1)
    return e.op("Slice", e.get(node.value(0)), start, e.i64([TO_END]), e.i64([1]))


def linear(e: Emitter, node: Node) -> ir.Value:
    """x @ weight[:rows].T, with rounded activations if there are scales."""
    weight, rows = node.weight(1), node.attrs["rows"]
    assert isinstance(rows, int)
    x, lead = e.get(node.value(0)), e.dims(node.value(0))[:-1]
    if len(node.inputs) > 2:
        return rounded_linear(e, x, weight, node.weight(2), node.weight(3), rows, lead)
    y = matmul(e, x, weight, lead)
    return y if rows == weight.shape[0] else e.slice(y, 0, rows, -1)


def rms_norm(e: Emitter, node: Node) -> ir.Value:
    """x / sqrt(mean(x^2) + eps) * weight, in the chain of operators that onnxruntime fuses."""
    x = e.get(node.value(0))
    mean = e.op("ReduceMean", e.op("Pow", x, e.f32(2)), e.i64([-1]), keepdims=1)
    normed = e.op("Div", x, e.op("Sqrt", e.op("Add", mean, e.f32(node.attrs["eps"]))))
    if len(node.inputs) == 1:
        return normed
    return e.op("Mul", normed, e.plane(node.weight(1), "values"))


def add(e: Emitter, node: Node) -> ir.Value:
    """x + y."""
    return e.op("Add", e.get(node.value(0)), e.get(node.value(1)))


def mul(e: Emitter, node: Node) -> ir.Value:
    """x * y, where y may be a weight."""
    y = node.inputs[1]
    factor = e.plane(y, "values") if isinstance(y, Weight) else e.get(y)
    return e.op("Mul", e.get(node.value(0)), factor)


def scale(e: Emitter, node: Node) -> ir.Value:
    """x * factor."""
    return e.op("Mul", e.get(node.value(0)), e.f32(node.attrs["factor"]))


def affine(e: Emitter, node: Node) -> ir.Value:
    """x * factor + offset."""
    return e.op("Add", scale(e, node), e.f32(node.attrs["offset"]))


def add_vector(e: Emitter, node: Node) -> ir.Value:
    """x + vector."""
    return e.op("Add", e.get(node.value(0)), e.plane(node.weight(1), "values"))


def standardise(e: Emitter, node: Node) -> ir.Value:
    """(x - mean) * factor."""
    mean, factor = (e.plane(node.weight(index), "values") for index in (1, 2))
    return e.op("Mul", e.op("Sub", e.get(node.value(0)), mean), factor)


def clamp(e: Emitter, node: Node) -> ir.Value:
    """max(-bound, min(x, bound))."""
    bound = node.number("bound")
    return e.op("Clip", e.get(node.value(0)), e.f32(-bound), e.f32(bound))


def clip(e: Emitter, node: Node) -> ir.Value:
    """max(low, min(x, high)). The bounds [1] become scalars, as ONNX needs them."""
    low, high = (e.op("Squeeze", e.plane(node.weight(index), "values")) for index in (1, 2))
    return e.op("Clip", e.get(node.value(0)), low, high)


def layer_norm(e: Emitter, node: Node) -> ir.Value:
    """(x - mean) / sqrt(variance + eps) * weight + bias."""
    vectors = (e.plane(node.weight(index), "values") for index in range(1, len(node.inputs)))
    return e.op("LayerNormalization", e.get(node.value(0)), *vectors, epsilon=node.number("eps"), axis=-1)


def relu(e: Emitter, node: Node) -> ir.Value:
    """max(x, 0)."""
    return e.op("Relu", e.get(node.value(0)))


def silu(e: Emitter, node: Node) -> ir.Value:
    """x * sigmoid(x)."""
    x = e.get(node.value(0))
    return e.op("Mul", x, e.op("Sigmoid", x))


def sigmoid_glu(e: Emitter, node: Node) -> ir.Value:
    """first half * sigmoid(second half)."""
    value, gate = e.op_many("Split", 2, e.get(node.value(0)), axis=-1, num_outputs=2)
    return e.op("Mul", value, e.op("Sigmoid", gate))


def gelu_tanh(e: Emitter, node: Node) -> ir.Value:
    """gelu(x), tanh approximation."""
    return e.op("Gelu", e.get(node.value(0)), approximate="tanh")


def glu(e: Emitter, node: Node) -> ir.Value:
    """gelu(first half) * second half."""
    gate, up = e.op_many("Split", 2, e.get(node.value(0)), axis=-1, num_outputs=2)
    return e.op("Mul", e.op("Gelu", gate, approximate="tanh"), up)


def softcap(e: Emitter, node: Node) -> ir.Value:
    """cap * tanh(x / cap)."""
    cap = e.f32(node.attrs["cap"])
    return e.op("Mul", e.op("Tanh", e.op("Div", e.get(node.value(0)), cap)), cap)


def slice_columns(e: Emitter, node: Node) -> ir.Value:
    """x[..., start:stop]."""
    start, stop = node.attrs["start"], node.attrs["stop"]
    assert isinstance(start, int) and isinstance(stop, int)
    return e.slice(e.get(node.value(0)), start, stop, -1)


def reshape(e: Emitter, node: Node) -> ir.Value:
    """x in another shape. The batch axis and the first axis of the graph value stay."""
    tokens, *sizes = node.output.shape
    assert tokens == node.value(0).shape[0] and all(isinstance(size, int) for size in sizes)
    return e.reshape(e.get(node.value(0)), 0, 0, *(size for size in sizes if isinstance(size, int)))


def pick(e: Emitter, node: Node) -> ir.Value:
    """x[:, :, index], for x [B, T, n, width]."""
    return e.op("Gather", e.get(node.value(0)), e.i64(node.attrs["index"]), axis=2)


EMISSIONS: dict[str, Emission] = {
    "replace_ids": replace_ids,
    "embed": embed,
    "keep_last": keep_last,
    "linear": linear,
    "rms_norm": rms_norm,
    "add": add,
    "mul": mul,
    "scale": scale,
    "affine": affine,
    "add_vector": add_vector,
    "standardise": standardise,
    "clamp": clamp,
    "clip": clip,
    "layer_norm": layer_norm,
    "relu": relu,
    "silu": silu,
    "sigmoid_glu": sigmoid_glu,
    "gelu_tanh": gelu_tanh,
    "glu": glu,
    "softcap": softcap,
    "slice": slice_columns,
    "reshape": reshape,
    "pick": pick,
    "rope": rope,
    "block_ends": block_ends,
    "kv_write": kv_write,
    "attention": attention,
    "embed_positions": embed_positions,
    "axial_rope": axial_rope,
    "full_attention": full_attention,
    "pool": pool,
    "subsample": subsample,
    "causal_depthwise": causal_depthwise,
    "sinusoids": sinusoids,
    "local_attention": local_attention,
    "top_k": top_k,
    "members": members,
    "linear_rows": linear_rows,
    "scatter": scatter,
    "route_top_k": route_top_k,
    "expert_linear": expert_linear,
    "weighted_sum": weighted_sum,
}
