"""Weights in ONNX: products with stored matrices, and rows of stored tables.

Rows of tables are dequantised with plain operators after the lookup, since the CPU build of onnxruntime-web has no
GatherBlockQuantized. Products with q8, q4 and integer weights are MatMulNBits, whose layout the planes have. Its
accuracy_level stays unset, since level 4 quantises activations. Integer weights have one scale per row; each of the
largest blocks that the operator takes gets this scale.
"""

import numpy as np
import onnx_ir as ir

from gemtab.backends.onnx.emitter import MICROSOFT, Dims, Emitter
from gemtab.graph import Weight
from gemtab.quantize import BLOCK, CODE_BITS, padded_columns

LARGEST_BLOCK = 256
"""Columns of the largest block of MatMulNBits."""


def matmul(e: Emitter, x: ir.Value, weight: Weight, lead: Dims) -> ir.Value:
    """x @ weight.T for x [*lead, columns] and weight [rows, columns]: [*lead, rows].

    The shape of a MatMulNBits is declared, since onnx cannot infer the shapes of onnxruntime's operators.
    """
    rows, columns = weight.shape
    bits = CODE_BITS.get(e.format_of(weight))
    if bits is None:
        return e.op("MatMul", x, e.op("Transpose", e.plane_f32(weight, "values"), perm=(1, 0)))
    codes, scales, block = e.plane(weight, "codes"), e.plane_f32(weight, "scales"), BLOCK
    if weight.bits:
        block = _largest_block(padded_columns(columns))
        shape = (rows, padded_columns(columns) // block)
        codes = e.once(("blocks", weight.name), lambda: e.reshape(codes, *shape, block * bits // 8))
        scales = e.once(("by block", weight.name), lambda: e.op("Expand", scales, e.i64(shape)))
    sizes = {"K": columns, "N": rows, "bits": bits, "block_size": block}
    y = e.op("MatMulNBits", x, codes, scales, domain=MICROSOFT, **sizes)
    y.dtype, y.shape = ir.DataType.FLOAT, ir.Shape((*lead, rows))
    return y


def _largest_block(columns: int) -> int:
    block = LARGEST_BLOCK
    while columns % block:
        block //= 2
    return block


def lookup(e: Emitter, weight: Weight, index: ir.Value, kept: int) -> ir.Value:
    """weight[index], as f32. kept: number of axes of the result before columns.

    A table [rows, columns] at ids [B, T] gives [B, T, columns], with kept 2. Experts [experts, rows, columns] at a
    scalar give [rows, columns], with kept 1.
    """
    columns = weight.shape[-1]
    bits = CODE_BITS.get(e.format_of(weight))
    if bits is None:
        return e.cast(e.op("Gather", e.plane(weight, "values"), index, axis=0), ir.DataType.FLOAT)
    codes = e.op("Gather", e.plane(weight, "codes"), index, axis=0)
    scales = e.op("Gather", e.plane_f32(weight, "scales"), index, axis=0)
    if bits < 8:
        codes = _unpacked(e, codes, bits, kept, padded_columns(columns) // BLOCK)
    values = e.op("Sub", e.cast(codes, ir.DataType.FLOAT), e.f32(2 ** (bits - 1)))
    if not weight.bits:
        values = e.op("Mul", values, e.unsqueeze(scales, -1))
    values = e.reshape(values, *[0] * kept, padded_columns(columns))
    values = values if columns == padded_columns(columns) else e.slice(values, 0, columns, -1)
    if not weight.bits:
        return values
    groups = e.reshape(values, *[0] * kept, weight.groups, columns // weight.groups)
    return e.reshape(e.op("Mul", groups, e.unsqueeze(scales, -1)), *[0] * kept, columns)


def _unpacked(e: Emitter, codes: ir.Value, bits: int, kept: int, blocks: int) -> ir.Value:
    """codes [..., blocks, 4 * bits] u8 -> [..., blocks, 32] u8, low bits first."""
    mask = e.constant((1 << bits) - 1, np.uint8)
    shifted = [
        e.op("BitShift", codes, e.constant(shift, np.uint8), direction="RIGHT") if shift else codes
        for shift in range(0, 8, bits)
    ]
    parts = [e.unsqueeze(e.op("BitwiseAnd", part, mask), -1) for part in shifted]
    return e.reshape(e.op("Concat", *parts, axis=-1), *[0] * kept, blocks, BLOCK)
