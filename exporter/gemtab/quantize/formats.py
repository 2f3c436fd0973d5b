"""The planes of each weight format. A plane is a plain array.

f32, f16, i32   `values` [..., columns]. i32 is for orderings.
q8, q4          `codes` [..., blocks, 32 or 16] u8 and `scales` [..., blocks] f16, in blocks of 32 columns. The last
                block is padded with zeros. value = (code - 128) * scale, or (code - 8) * scale. A byte of q4 has the
                earlier column in its low nibble. This is the layout of ONNX Runtime's MatMulNBits with default zero
                points.
rows8, rows4,   integer weights of a pre-quantized checkpoint: `codes` [rows, blocks, 32, 16 or 8] u8 and `scales`
rows2           [rows, groups] f32, each for columns / groups columns. value = (code - 128, 8 or 2) * scale. A byte has
                the earlier columns in its low bits.

Leading axes are those of the weight: [rows, …] for a matrix or table, [experts, rows, …] for experts.
"""

from dataclasses import dataclass
from typing import Literal

from gemtab.bundle.manifest import WeightFormat
from gemtab.graph import Weight

BLOCK = 32
"""Columns that share a scale in q8 and q4, and that a kernel reads at a time."""

StorageFormat = Literal["f32", "f16", "q8", "q4", "rows8", "rows4", "rows2", "i32"]
"""The format of one stored weight."""

PlainFormat = Literal["f32", "f16", "q8", "q4"]
"""Formats for weights of any values."""

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
"""Bits of a code, by the formats that have codes."""


def coded_format(bits: int) -> StorageFormat:
    """Return the format of integer weights of so many bits: 8, 4 or 2."""
    formats: dict[int, StorageFormat] = {8: "rows8", 4: "rows4", 2: "rows2"}
    return formats[bits]


_CHOOSING = (".router.proj", "centroids")
"""Endings of the names of matrices whose products choose experts or tokens."""


def storage_format(weight: Weight, weight_format: WeightFormat) -> StorageFormat:
    """Return the format that a weight is stored in, in an export with `weight_format`.

    Vectors are f32, since they are small and scale all values. Routers and centroids are f32, since an error there
    chooses another expert or other tokens. With `qat`, integer weights keep their codes, and float weights are f16.
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
    """Return the planes of a weight in its format (see `storage_format`), in storage order."""
    stored = storage_format(weight, weight_format)
    if stored == "f32" or stored == "f16" or stored == "i32":
        return [PlaneSpec("values", stored, weight.shape)]
    blocks = (*weight.shape[:-1], padded_columns(weight.shape[-1]) // BLOCK)
    codes = PlaneSpec("codes", "u8", (*blocks, BLOCK * CODE_BITS[stored] // 8))
    if stored == "q8" or stored == "q4":
        return [codes, PlaneSpec("scales", "f16", blocks)]
    return [codes, PlaneSpec("scales", "f32", (weight.shape[0], weight.groups))]
