"""What each weight format stores: planes, each a plain array.

f32, f16   one plane `values` [..., columns]; so has i32, of an ordering.
q8, q4     blocks of 32 columns, the last one padded with zeros: `codes` [..., blocks, 32 or 16] u8 and `scales`
           [..., blocks] f16. A value is (code - 128) * scale, or (code - 8) * scale. Of q4's bytes, the low nibble is
           the earlier column. This is the layout of ONNX Runtime's MatMulNBits with its default zero points.

rows8,     codes that a checkpoint was trained with: `codes` [rows, blocks, 32, 16 or 8] u8, and `scales` [rows,
rows4,     groups] f32, each for columns / groups columns. A value is (code - 128, 8 or 2) * scale; of a byte, the low
rows2      bits are the earlier columns.

Leading axes are the weight's own: [rows, …] of a matrix or table, [experts, rows, …] of experts.
"""

from dataclasses import dataclass
from typing import Literal

from gemtab.bundle.manifest import WeightFormat
from gemtab.graph import Weight

BLOCK = 32
"""Columns that share a scale, and that a kernel reads at a time."""

StorageFormat = Literal["f32", "f16", "q8", "q4", "rows8", "rows4", "rows2", "i32"]
"""How one weight is stored."""

PlainFormat = Literal["f32", "f16", "q8", "q4"]
"""Those that any values can be brought to."""

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
"""Bits of the formats that have codes."""


def coded_format(bits: int) -> StorageFormat:
    """The format of codes with so many bits that a checkpoint was trained with."""
    formats: dict[int, StorageFormat] = {8: "rows8", 4: "rows4", 2: "rows2"}
    return formats[bits]


_CHOOSING = (".router.proj", "centroids")
"""Endings of the names of matrices by whose products something is chosen."""


def storage_format(weight: Weight, weight_format: WeightFormat) -> StorageFormat:
    """The format that a weight is stored in where `weight_format` is asked for.

    Vectors stay f32: they are small and scale everything. So do routers and centroids: an error there picks another
    expert, or other tokens. With `qat`, codes stay what they are, and what has none is f16.
    """
    if weight.role == "ordering":
        return "i32"
    if weight_format == "qat" and weight.bits:
        return coded_format(weight.bits)
    if weight.role in ("vector", "bound") or weight.name.endswith(_CHOOSING):
        return "f32"
    return "f16" if weight_format == "qat" else weight_format


def padded_columns(columns: int) -> int:
    """`columns` rounded up to whole blocks."""
    return -(-columns // BLOCK) * BLOCK


def planes(weight: Weight, weight_format: WeightFormat) -> list[PlaneSpec]:
    """The planes of a weight in the format it is stored in (see `storage_format`), in storage order."""
    stored = storage_format(weight, weight_format)
    if stored == "f32" or stored == "f16" or stored == "i32":
        return [PlaneSpec("values", stored, weight.shape)]
    blocks = (*weight.shape[:-1], padded_columns(weight.shape[-1]) // BLOCK)
    codes = PlaneSpec("codes", "u8", (*blocks, BLOCK * CODE_BITS[stored] // 8))
    if stored == "q8" or stored == "q4":
        return [codes, PlaneSpec("scales", "f16", blocks)]
    return [codes, PlaneSpec("scales", "f32", (weight.shape[0], weight.groups))]
