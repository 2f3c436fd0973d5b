"""Weight formats: how a weight is stored, packed and unpacked."""

from gemtab.quantize.exact import exact_blocks
from gemtab.quantize.formats import (
    BLOCK,
    CODE_BITS,
    PlainFormat,
    PlaneSpec,
    StorageFormat,
    coded_format,
    padded_columns,
    planes,
    storage_format,
)
from gemtab.quantize.packing import Planes, pack, pack_codes, unpack, unpack_codes
from gemtab.quantize.readers import DequantisedWeights, WeightReader, packed_rows, packed_with_values

__all__ = [
    "BLOCK",
    "CODE_BITS",
    "DequantisedWeights",
    "PlainFormat",
    "PlaneSpec",
    "Planes",
    "StorageFormat",
    "WeightReader",
    "coded_format",
    "exact_blocks",
    "pack",
    "pack_codes",
    "packed_rows",
    "packed_with_values",
    "padded_columns",
    "planes",
    "storage_format",
    "unpack",
    "unpack_codes",
]
