"""Interfaces for reading weights, and the weights with a stored format's values."""

from typing import Protocol, runtime_checkable

import torch

from gemtab.bundle.manifest import WeightFormat
from gemtab.errors import CheckpointError
from gemtab.graph import Weight
from gemtab.quantize.formats import CODE_BITS, StorageFormat, storage_format
from gemtab.quantize.packing import Planes, pack_counted, unpack


class WeightReader(Protocol):
    """Reads weights as f32, whole or by rows of the first axis."""

    def read(self, weight: Weight) -> torch.Tensor:
        """Return the whole weight, weight.shape f32."""
        ...

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1: [stop - start, *weight.shape[1:]] f32."""
        ...


@runtime_checkable
class PackedReader(Protocol):
    """A WeightReader whose source may have codes with scales, which packing again would change."""

    def packed_rows(self, weight: Weight, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """Return the planes of rows start … stop - 1 where the source has exactly the format `stored`; else None."""
        ...


def packed_rows(weights: WeightReader, weight: Weight, weight_format: WeightFormat, start: int, stop: int) -> Planes:
    """Return the planes of rows start … stop - 1 in `weight_format`: the source's own planes, or packed from its
    values."""
    return packed_counted(weights, weight, weight_format, start, stop)[0]


def packed_counted(
    weights: WeightReader, weight: Weight, weight_format: WeightFormat, start: int, stop: int
) -> tuple[Planes, int]:
    """Return the planes as `packed_rows`, and the number of blocks that q4 stores without loss (0 for the source's own
    planes). Raises CheckpointError, with the weight's name, where a value or scale does not fit f16."""
    stored = storage_format(weight, weight_format)
    if stored in CODE_BITS and isinstance(weights, PackedReader):
        held = weights.packed_rows(weight, stored, start, stop)
        if held is not None:
            return held, 0
    if stored == "rows8" or stored == "rows4" or stored == "rows2":
        raise AssertionError(f"{weight.name}: {type(weights).__name__} has no codes of its own")
    values = weights.read_rows(weight, start, stop)
    try:
        return pack_counted(values, stored)
    except CheckpointError as error:
        raise CheckpointError(f"{', '.join(weight.sources)}: {error}") from None


class DequantisedWeights:
    """Weights with the values that `weight_format` stores: those an exact backend computes with after an export."""

    def __init__(self, weights: WeightReader, weight_format: WeightFormat) -> None:
        self._weights = weights
        self._format = weight_format

    def read(self, weight: Weight) -> torch.Tensor:
        """Return the whole weight, weight.shape f32."""
        return self.read_rows(weight, 0, weight.shape[0])

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1, f32."""
        planes = packed_rows(self._weights, weight, self._format, start, stop)
        return unpack(planes, storage_format(weight, self._format), (stop - start, *weight.shape[1:]))
