"""The weight formats. A stored weight is one or two planes, each a plain array.

f32, f16   one plane `values` [..., columns]; so has i32, for an ordering.
q8, q4     blocks of 32 columns, the last one padded with zeros: `codes` [..., blocks, 32 or 16] u8 and `scales`
           [..., blocks] f16. A value is (code - 128) * scale, or (code - 8) * scale. In q4, the low bits of a byte are
           the earlier column. This is the layout of ONNX Runtime's MatMulNBits with its default zero points.

rows8,     integer weights of a pre-quantized (QAT) checkpoint: `codes` [rows, blocks, 32, 16 or 8] u8, and `scales`
rows4,     [rows, groups] f32, each for columns / groups columns. A value is (code - 128, 8 or 2) * scale; the low bits
rows2      of a byte are the earlier columns.

Leading axes are the weight's own: [rows, …] for a matrix or table, [experts, rows, …] for experts.
"""

from dataclasses import dataclass
from typing import Literal

from gemtab.bundle.manifest import WeightFormat
from gemtab.graph import Weight

BLOCK = 32
"""Columns that share a scale. Kernels read this many at once."""

StorageFormat = Literal["f32", "f16", "q8", "q4", "rows8", "rows4", "rows2", "i32"]
"""Formats of one stored weight."""

PlainFormat = Literal["f32", "f16", "q8", "q4"]
"""Formats for any values."""

PlaneName = Literal["values", "codes", "scales"]
PlaneDtype = Literal["u8", "f16", "f32", "i32"]


@dataclass(frozen=True)
class PlaneSpec:
    """One array of a stored weight, row-major."""

    name: PlaneName
    dtype: PlaneDtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        size = {"u8": 1, "f16": 2, "f32": 4, "i32": 4}[self.dtype]
        for dim in self.shape:
            size *= dim
        return size


CODE_BITS: dict[StorageFormat, int] = {"q8": 8, "q4": 4, "rows8": 8, "rows4": 4, "rows2": 2}
"""Bits of a code, by format."""


def coded_format(bits: int) -> StorageFormat:
    """Return the format of a pre-quantized checkpoint's integers of `bits` bits."""
    formats: dict[int, StorageFormat] = {8: "rows8", 4: "rows4", 2: "rows2"}
    return formats[bits]


_CHOOSING = (".router.proj", "centroids")
"""Name endings of matrices whose products choose experts or tokens."""


def storage_format(weight: Weight, weight_format: WeightFormat) -> StorageFormat:
    """Return the format in which a weight is stored in a bundle with `weight_format`.

    Vectors stay f32: they are small and scale everything. Routers and centroids stay f32: an error there chooses
    another expert or other tokens. With `qat`, integer weights are unchanged, and others are f16.
    """
    if weight.role == "ordering":
        return "i32"
    if weight_format == "qat" and weight.bits:
        return coded_format(weight.bits)
    if weight.role in ("vector", "bound") or weight.name.endswith(_CHOOSING):
        return "f32"
    return "f16" if weight_format == "qat" else weight_format


def padded_columns(columns: int) -> int:
    """Return `columns` rounded up to whole blocks."""
    return -(-columns // BLOCK) * BLOCK


def planes(weight: Weight, weight_format: WeightFormat) -> list[PlaneSpec]:
    """Return the planes of a weight in its stored format (see `storage_format`), in storage order."""
    stored = storage_format(weight, weight_format)
    if stored == "f32" or stored == "f16" or stored == "i32":
        return [PlaneSpec("values", stored, weight.shape)]
    blocks = (*weight.shape[:-1], padded_columns(weight.shape[-1]) // BLOCK)
    codes = PlaneSpec("codes", "u8", (*blocks, BLOCK * CODE_BITS[stored] // 8))
    if stored == "q8" or stored == "q4":
        return [codes, PlaneSpec("scales", "f16", blocks)]
    return [codes, PlaneSpec("scales", "f32", (weight.shape[0], weight.groups))]
