"""Weights in ONNX: products with stored matrices, and rows of stored tables.

Tables are dequantised with plain operators after the lookup, since the CPU build of onnxruntime-web has no
GatherBlockQuantized. Products with q8 and q4 are MatMulNBits, whose layout the planes have. Its accuracy_level stays
unset: level 4 would quantise the activations.
"""

import numpy as np
import onnx_ir as ir

from gemtab.backends.onnx.emitter import MICROSOFT, Emitter
from gemtab.bundle.manifest import WeightFormat
from gemtab.graph import Weight
from gemtab.quantize import BLOCK, padded_columns

BITS: dict[WeightFormat, int] = {"q8": 8, "q4": 4}


def matmul(e: Emitter, x: ir.Value, weight: Weight) -> ir.Value:
    """x [..., columns] times weight [rows, columns], transposed: [..., rows]."""
    rows, columns = weight.shape
    bits = BITS.get(e.format_of(weight))
    if bits is None:
        return e.op("MatMul", x, e.op("Transpose", e.plane_f32(weight, "values"), perm=(1, 0)))
    codes, scales = e.plane(weight, "codes"), e.plane_f32(weight, "scales")
    sizes = {"K": columns, "N": rows, "bits": bits, "block_size": BLOCK}
    return e.op("MatMulNBits", x, codes, scales, domain=MICROSOFT, **sizes)


def lookup(e: Emitter, weight: Weight, index: ir.Value, kept: int) -> ir.Value:
    """Entries `index` of the weight's first axis, as f32; `kept` is the number of axes of the result before columns.

    A table [rows, columns] by ids [B, T] gives [B, T, columns], where kept is 2; experts [experts, rows, columns] by
    a scalar give [rows, columns], where kept is 1.
    """
    columns = weight.shape[-1]
    bits = BITS.get(e.format_of(weight))
    if bits is None:
        return e.cast(e.op("Gather", e.plane(weight, "values"), index, axis=0), ir.DataType.FLOAT)
    codes = e.op("Gather", e.plane(weight, "codes"), index, axis=0)
    scales = e.op("Gather", e.plane_f32(weight, "scales"), index, axis=0)
    if bits == 4:
        codes = _nibbles(e, codes, kept, padded_columns(columns) // BLOCK)
    centred = e.op("Sub", e.cast(codes, ir.DataType.FLOAT), e.f32(2 ** (bits - 1)))
    values = e.reshape(e.op("Mul", centred, e.unsqueeze(scales, -1)), *[0] * kept, padded_columns(columns))
    return values if columns == padded_columns(columns) else e.slice(values, 0, columns, -1)


def _nibbles(e: Emitter, codes: ir.Value, kept: int, blocks: int) -> ir.Value:
    """codes [..., blocks, 16] u8 -> [..., blocks, 32] u8, low nibbles first."""
    low = e.op("BitwiseAnd", codes, e.constant(15, np.uint8))
    high = e.op("BitShift", codes, e.constant(4, np.uint8), direction="RIGHT")
    pairs = e.op("Concat", e.unsqueeze(low, -1), e.unsqueeze(high, -1), axis=-1)
    return e.reshape(pairs, *[0] * kept, blocks, BLOCK)
