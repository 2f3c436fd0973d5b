"""Weight formats: the planes of a stored weight, packing and unpacking."""

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
from gemtab.quantize.packing import Planes, pack, pack_codes, pack_counted, unpack, unpack_codes
from gemtab.quantize.readers import DequantisedWeights, WeightReader, packed_counted, packed_rows

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
    "pack",
    "pack_codes",
    "pack_counted",
    "packed_counted",
    "packed_rows",
    "padded_columns",
    "planes",
    "storage_format",
    "unpack",
    "unpack_codes",
]
