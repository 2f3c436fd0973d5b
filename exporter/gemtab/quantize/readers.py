"""Readers of weights: the interface, and a reader of weights as a stored format represents them."""

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
        """Return the whole weight."""
        ...

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1: [stop - start, *weight.shape[1:]]."""
        ...


@runtime_checkable
class PackedReader(Protocol):
    """A WeightReader whose source may have codes and scales, which packing of f32 values would lose."""

    def packed_rows(self, weight: Weight, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """Return the planes of rows start … stop - 1 in the format `stored`; None if the source does not have them."""
        ...


def packed_rows(weights: WeightReader, weight: Weight, weight_format: WeightFormat, start: int, stop: int) -> Planes:
    """Return the planes of rows start … stop - 1 in an export with `weight_format`: those of the source if it has them,
    else packed from its values."""
    return packed_counted(weights, weight, weight_format, start, stop)[0]


def packed_counted(
    weights: WeightReader, weight: Weight, weight_format: WeightFormat, start: int, stop: int
) -> tuple[Planes, int]:
    """Return what `packed_rows` returns, and the number of q4 blocks that keep all values exactly in bf16; 0 for planes
    of the source. Raises CheckpointError, with the weight's name, if a value or scale does not fit f16."""
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
    """Weights as an export with `weight_format` represents them: the values for an exact backend."""

    def __init__(self, weights: WeightReader, weight_format: WeightFormat) -> None:
        self._weights = weights
        self._format = weight_format

    def read(self, weight: Weight) -> torch.Tensor:
        """Return the whole weight."""
        return self.read_rows(weight, 0, weight.shape[0])

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1."""
        planes = packed_rows(self._weights, weight, self._format, start, stop)
        return unpack(planes, storage_format(weight, self._format), (stop - start, *weight.shape[1:]))
