"""Schemas of onnxruntime's operators that exported graphs use, so that onnx can check the graphs.

Without a schema, `onnx.checker` checks no attributes and shapes of a node, and strict shape inference ignores errors in
all nodes that follow.
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
"""Sizes; None for a size that is no number."""


@contextmanager
def contrib_operators() -> Iterator[None]:
    """Register the operators of onnxruntime that exported graphs use, inside the block."""
    if onnx.defs.has(MATMUL_N_BITS, MICROSOFT):
        yield
        return
    onnx.defs.register_schema(_matmul_n_bits())
    try:
        yield
    finally:
        onnx.defs.deregister_schema(MATMUL_N_BITS, VERSION, MICROSOFT)


def _matmul_n_bits() -> OpSchema:
    """MatMulNBits with the inputs that gemtab uses: x, codes and scales. Scales have the dtype of x."""
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
    """Infer x [..., K] -> [..., N]. `product_fault` finds faults, since it can name the node."""
    known = context.get_input_type(0)
    if known is None or not len(known.tensor_type.shape.dim):
        return
    found = onnx.TypeProto()
    found.CopyFrom(known)
    found.tensor_type.shape.dim[-1].Clear()
    found.tensor_type.shape.dim[-1].dim_value = context.get_attribute("N").i
    context.set_output_type(0, found)


def product_fault(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> str | None:
    """Return the fault of a MatMulNBits whose inputs do not fit, or None.

    The inputs are x [..., K], codes [N, blocks, bytes of a block] and scales [N, blocks] or [N * blocks]. shapes: the
    known shapes, by the name of the value.
    """
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
