"""Weight formats: how a weight is stored, packed and unpacked."""

from gemtab.quantize.formats import BLOCK, PlaneSpec, padded_columns, planes, storage_format
from gemtab.quantize.packing import pack, unpack
from gemtab.quantize.readers import DequantisedWeights, WeightReader

__all__ = [
    "BLOCK",
    "DequantisedWeights",
    "PlaneSpec",
    "WeightReader",
    "pack",
    "padded_columns",
    "planes",
    "storage_format",
    "unpack",
]
