"""Where weights come from: the interface, and the weights as a stored format has them."""

from typing import Protocol

import torch

from gemtab.bundle.manifest import WeightFormat
from gemtab.graph import Weight
from gemtab.quantize.formats import storage_format
from gemtab.quantize.packing import pack, unpack


class WeightReader(Protocol):
    """Gives weights as f32, whole or by rows of the first axis."""

    def read(self, weight: Weight) -> torch.Tensor:
        """The whole weight, of its shape."""
        ...

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop - 1: [stop - start, *weight.shape[1:]]."""
        ...


class DequantisedWeights:
    """Weights as `weight_format` stores them: what an exact backend computes with after an export."""

    def __init__(self, weights: WeightReader, weight_format: WeightFormat) -> None:
        self._weights = weights
        self._format = weight_format

    def read(self, weight: Weight) -> torch.Tensor:
        """The whole weight."""
        return self._round_trip(weight, self._weights.read(weight))

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop - 1."""
        return self._round_trip(weight, self._weights.read_rows(weight, start, stop))

    def _round_trip(self, weight: Weight, tensor: torch.Tensor) -> torch.Tensor:
        stored = storage_format(weight, self._format)
        return unpack(pack(tensor, stored), stored, tuple(tensor.shape))
