"""Mixture of experts in plain operators.

A loop goes over the experts that this step's tokens chose. So each matrix is dequantised at most once per step, and a
single token reads only its own experts.
"""

import onnx_ir as ir

from gemtab.backends.onnx.emitter import Emitter
from gemtab.backends.onnx.weights import lookup
from gemtab.graph import Node


def route_top_k(e: Emitter, node: Node) -> None:
    """Weights and ids [B, T, k] of the k experts with the largest scores."""
    count = node.attrs["k"]
    assert isinstance(count, int)
    probabilities = e.op("Softmax", e.get(node.value(0)), axis=-1)
    chosen, ids = e.op_many("TopK", 2, probabilities, e.i64([count]), axis=-1, largest=1, sorted=1)
    normalised = e.op("Div", chosen, e.op("ReduceSum", chosen, e.i64([-1]), keepdims=1))
    scales = e.op("Gather", e.plane(node.weight(1), "values"), ids, axis=0)
    e.define(node.outputs[0], e.op("Mul", normalised, scales))
    e.define(node.outputs[1], ids)


def expert_linear(e: Emitter, node: Node) -> ir.Value:
    """The experts ids [B, T, k] on x [B, T, columns] or [B, T, k, columns]: [B, T, k, rows].

    Slots are the B * T * k choices. If x has no axis k, row s // k of x belongs to slot s.
    """
    x, ids, weight = e.get(node.value(0)), e.get(node.value(1)), node.weight(2)
    _, rows, columns = weight.shape
    chosen = node.value(1).shape[-1]
    assert isinstance(chosen, int)
    share = 1 if len(node.value(0).shape) == 3 else chosen
    flat, slots = e.reshape(x, -1, columns), e.reshape(ids, -1)
    experts = e.op("Unique", slots)
    empty = e.op("Expand", e.f32(0), e.op("Concat", e.op("Shape", slots), e.i64([rows]), axis=0))
    body = _one_expert(e, node, flat, slots, experts, share)
    count = e.size(experts, 0)
    done = e.op("Loop", count, e.constant(True, bool), empty, body=body)
    # Declared: shape inference assumes that an iteration may change the shape.
    done.dtype, done.shape = ir.DataType.FLOAT, ir.Shape((None, rows))
    shape = e.op("Concat", e.op("Shape", ids), e.i64([rows]), axis=0)
    return e.op("Reshape", done, shape)


def _one_expert(e: Emitter, node: Node, flat: ir.Value, slots: ir.Value, experts: ir.Value, share: int) -> ir.Graph:
    """Return the loop's body, which fills the slots [slots, rows] of experts[index]."""
    weight = node.weight(2)
    name = f"{node.label}.{weight.name}"
    index = ir.val(f"{name}.index", ir.DataType.INT64, ())
    going = ir.val(f"{name}.going", ir.DataType.BOOL, ())
    filled = ir.val(f"{name}.filled", ir.DataType.FLOAT, ("slots", weight.shape[1]))
    with e.body() as nodes:
        expert = e.op("Gather", experts, index, axis=0)
        own = e.op("Squeeze", e.op("NonZero", e.op("Equal", slots, expert)), e.i64([0]))
        x = e.op("Gather", flat, e.op("Div", own, e.i64(share)), axis=0)
        matrix = e.op("Transpose", lookup(e, weight, expert, 1), perm=(1, 0))
        result = e.op("ScatterND", filled, e.unsqueeze(own, -1), e.op("MatMul", x, matrix))
        result.type, result.shape = filled.type, filled.shape
        still = e.op("Identity", going)
        still.type, still.shape = going.type, going.shape
    return ir.Graph([index, going, filled], [still, result], nodes=nodes, name=f"{name}.body")


def weighted_sum(e: Emitter, node: Node) -> ir.Value:
    """x [B, T, k, width] times weights [B, T, k], summed over k: [B, T, width]."""
    weights = e.unsqueeze(e.get(node.value(1)), 2)
    return e.op("Squeeze", e.op("MatMul", weights, e.get(node.value(0))), e.i64([2]))
