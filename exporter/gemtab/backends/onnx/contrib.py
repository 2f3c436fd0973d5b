"""The operators of onnxruntime that exported graphs use, as onnx needs them to check those graphs.

onnx does not know these operators. Beside a node that it does not know, `onnx.checker` checks no attribute and no
shape, and strict shape inference ignores the errors of all nodes that follow, whatever types are declared.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import onnx
from onnx.defs import OpSchema
from onnx.shape_inference import InferenceContext

from gemtab.backends.onnx.emitter import MICROSOFT

MATMUL_N_BITS = "MatMulNBits"
VERSION = 1

_ATTRIBUTES = ("K", "N", "bits", "block_size")

Shape = list[int | None]
"""Sizes; None for one that is not known as a number."""


@contextmanager
def contrib_operators() -> Iterator[None]:
    """Inside, onnx knows the operators of onnxruntime that exported graphs use."""
    if onnx.defs.has(MATMUL_N_BITS, MICROSOFT):
        yield
        return
    onnx.defs.register_schema(_matmul_n_bits())
    try:
        yield
    finally:
        onnx.defs.deregister_schema(MATMUL_N_BITS, VERSION, MICROSOFT)


def _matmul_n_bits() -> OpSchema:
    """MatMulNBits with the inputs that gemtab gives: x, codes and scales, all scales in x's dtype."""
    inputs = [
        OpSchema.FormalParameter(name, kind) for name, kind in (("A", "T"), ("B", "tensor(uint8)"), ("scales", "T"))
    ]
    attributes = [OpSchema.Attribute(name, OpSchema.AttrType.INT, "", required=True) for name in _ATTRIBUTES]
    schema = OpSchema(
        MATMUL_N_BITS,
        MICROSOFT,
        VERSION,
        inputs=inputs,
        outputs=[OpSchema.FormalParameter("Y", "T")],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], "")],
        attributes=attributes,
    )
    schema.set_type_and_shape_inference_function(_infer)
    return schema


def _infer(context: InferenceContext) -> None:
    """x [..., K] -> [..., N]. Faults are left to `product_fault`, which can name the node."""
    known = context.get_input_type(0)
    if known is None or not len(known.tensor_type.shape.dim):
        return
    found = onnx.TypeProto()
    found.CopyFrom(known)
    found.tensor_type.shape.dim[-1].Clear()
    found.tensor_type.shape.dim[-1].dim_value = context.get_attribute("N").i
    context.set_output_type(0, found)


def product_fault(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> str | None:
    """The fault of a MatMulNBits whose inputs do not fit, or None. They are x [..., K], codes [N, blocks, bytes of a
    block] and scales [N, blocks] or [N * blocks]. shapes: of the values that are known."""
    sizes = {attribute.name: attribute.i for attribute in node.attribute}
    columns, rows, bits, block = (sizes[name] for name in _ATTRIBUTES)
    blocks = -(-columns // block)
    x, codes, scales = (shapes.get(name) for name in node.input[:3])
    if x is not None and not (x and x[-1] in (columns, None)):
        return f"x is of shape {x} where K is {columns}"
    for name, found, allowed in (
        ("codes", codes, [[rows, blocks, block * bits // 8]]),
        ("scales", scales, [[rows, blocks], [rows * blocks]]),
    ):
        if found is not None and not any(_fits(found, shape) for shape in allowed):
            return f"{name} are of shape {found} where {' or '.join(map(str, allowed))} is needed"
    return None


def _fits(found: Shape, wanted: list[int]) -> bool:
    return len(found) == len(wanted) and all(had in (size, None) for had, size in zip(found, wanted, strict=True))
