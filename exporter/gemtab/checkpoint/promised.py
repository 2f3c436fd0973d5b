"""Names and shapes of the tensors that a model's graphs need, known before the weights exist."""

from collections.abc import Iterable
from pathlib import Path

import torch

from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.graph import Weight
from gemtab.quantize import StorageFormat


class PromisedTensors:
    """See `gemtab.checkpoint.tensors.Tensors`. Reading values is an error of the caller."""

    def __init__(self, weights: Iterable[Weight], spec: CheckpointSpec, folder: Path) -> None:
        self.folder = folder
        self._shapes = {
            spec.tensor_name(source): (rows, *weight.shape[1:])
            for weight in weights
            for source, rows in zip(weight.sources, weight.parts, strict=True)
        }

    def names(self) -> list[str]:
        """Return all tensor names, sorted."""
        return sorted(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the tensor's shape."""
        return self._shapes[name]

    def read(self, name: str) -> torch.Tensor:
        """Not possible: there are no values."""
        raise AssertionError(f"{name} has no values before the weights are there")

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Not possible: there are no values."""
        raise AssertionError(f"{name} has no rows {start} to {stop} before the weights are there")

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> None:
        """Return None: there are no integer weights."""
