"""The head of a draft model that scores only the tokens of the best centroids."""

import onnx_ir as ir

from gemtab.backends.onnx.emitter import Emitter
from gemtab.backends.onnx.weights import lookup
from gemtab.graph import Node


def top_k(e: Emitter, node: Node) -> ir.Value:
    """The indices [B, T, k] of the largest of scores [B, T, n]."""
    _, indices = e.op_many("TopK", 2, e.get(node.value(0)), e.i64([node.integer("k")]), axis=-1)
    return indices


def members(e: Emitter, node: Node) -> ir.Value:
    """The members [B, T, k * size] of groups [B, T, k]."""
    ordering = node.weight(1)

    def make() -> ir.Value:
        # Reshape before the cast: shape inference reads the values of a list of integers that is cast, which fails for
        # values in a data file.
        listed = e.reshape(e.plane(ordering, "values"), -1, node.integer("size"))
        return e.cast(listed, ir.DataType.INT64)

    groups = e.once(("groups", ordering.name), make)
    return e.reshape(e.op("Gather", groups, e.get(node.value(0)), axis=0), 0, 0, -1)


def linear_rows(e: Emitter, node: Node) -> ir.Value:
    """x [B, T, columns] times the rows at ids [B, T, n]: [B, T, n]."""
    rows = lookup(e, node.weight(2), e.get(node.value(1)), 3)
    return e.op("Squeeze", e.op("MatMul", rows, e.unsqueeze(e.get(node.value(0)), -1)), e.i64([-1]))


def scatter(e: Emitter, node: Node) -> ir.Value:
    """[B, T, size], with scores [B, T, n] at ids [B, T, n], and min(scores) - 1 elsewhere."""
    scores, ids = (e.get(node.value(index)) for index in (0, 1))
    below = e.op("Sub", e.op("ReduceMin", scores, e.i64([-1]), keepdims=1), e.f32(1))
    return e.op("ScatterElements", e.op("Expand", below, e.i64([1, 1, node.integer("size")])), ids, scores, axis=-1)
