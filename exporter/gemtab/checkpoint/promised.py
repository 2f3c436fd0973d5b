"""The tensors that a model's graphs ask for, known before there are any weights: names and shapes, without values."""

from collections.abc import Iterable
from pathlib import Path

import torch

from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.graph import Weight
from gemtab.quantize import StorageFormat


class PromisedTensors:
    """See `gemtab.checkpoint.tensors.Tensors`. What would read a value is a mistake of the caller."""

    def __init__(self, weights: Iterable[Weight], spec: CheckpointSpec, folder: Path) -> None:
        self.folder = folder
        self._shapes = {
            spec.tensor_name(source): (rows, *weight.shape[1:])
            for weight in weights
            for source, rows in zip(weight.sources, weight.parts, strict=True)
        }

    def names(self) -> list[str]:
        """All tensor names, sorted."""
        return sorted(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape."""
        return self._shapes[name]

    def read(self, name: str) -> torch.Tensor:
        """Nothing can be read."""
        raise AssertionError(f"{name} has no values before the weights are there")

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Nothing can be read."""
        raise AssertionError(f"{name} has no rows {start} to {stop} before the weights are there")

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> None:
        """None: there are no codes."""
