"""Read a graph's weights from a checkpoint's tensors."""

import math

import numpy as np
import torch

from gemtab.checkpoint.codes import RANGE, CodedWeights
from gemtab.checkpoint.head import HEAD, with_own_head
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.checkpoint.tensors import Tensors
from gemtab.errors import CheckpointError
from gemtab.graph import Weight
from gemtab.quantize import Planes, StorageFormat, coded_format, unpack


class CheckpointWeights:
    """Reads a graph's weights as f32: sources are stacked, the text prefix is added, shapes and values are checked.

    Raises CheckpointError for a tensor that is missing, has another shape, or contains NaN or Inf; and where `spec`
    ties a head that differs from the embedding, as after an adapter changed one of them.
    """

    def __init__(self, checkpoint: Tensors, spec: CheckpointSpec) -> None:
        if spec.text.tied and not with_own_head(spec, checkpoint).text.tied:
            raise CheckpointError(
                f"{checkpoint.folder}: {HEAD} differs from the embedding, and the spec ties them. Use the spec that "
                "adapted_spec makes of this spec and the adapted tensors."
            )
        self._checkpoint = checkpoint
        self._coded = CodedWeights(checkpoint)
        self._known = frozenset(checkpoint.names())
        self._spec = spec

    def read(self, weight: Weight) -> torch.Tensor:
        """Return the whole weight, weight.shape f32."""
        return self.read_rows(weight, 0, weight.shape[0])

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1 along the first axis: [stop - start, *weight.shape[1:]] f32. Nothing else is
        read, so tables of gigabytes need little memory."""
        if weight.bits:
            shape = (stop - start, weight.shape[1])
            return unpack(self._coded_rows(weight, start, stop), coded_format(weight.bits), shape)
        if weight.role == "bound":
            return torch.cat([self._bound(source) for source in weight.sources])[start:stop]
        if weight.role == "ordering":
            return self._ordering(weight)[start:stop]
        parts, offset = [], 0
        for source, rows in self._sources(weight):
            first, last = max(start - offset, 0), min(stop - offset, rows)
            if first < last:
                found = self._read(source, weight, first, last)
                parts.append(self._whole(source, found))
            offset += rows
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def packed_rows(self, weight: Weight, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """Return the planes of rows start … stop - 1 where the checkpoint has all sources in the format `stored`; else
        None."""
        if weight.bits:
            return self._coded_rows(weight, start, stop) if stored == coded_format(weight.bits) else None
        parts, offset = [], 0
        for source, rows in self._sources(weight):
            first, last = max(start - offset, 0), min(stop - offset, rows)
            if first < last:
                parts.append(self._packed(source, weight, stored, first, last))
            offset += rows
        held = [part for part in parts if part is not None]
        if len(held) < len(parts):
            return None
        return {name: np.concatenate([part[name] for part in held]) for name in held[0]}

    def _coded_rows(self, weight: Weight, start: int, stop: int) -> Planes:
        return self._coded.planes(weight, self._names(weight), start, stop)

    def _packed(self, source: str, weight: Weight, stored: StorageFormat, first: int, last: int) -> Planes | None:
        if len(self._checkpoint.shape(source)) != len(weight.shape):
            return None  # a stack read as one table
        found = self._checkpoint.packed_rows(source, stored, first, last)
        if found is not None:
            self._finite(source, torch.from_numpy(found["scales"]))
        return found

    def check(self, weights: list[Weight]) -> None:
        """Check names and shapes of all `weights` without reading values. Raises CheckpointError."""
        for weight in weights:
            if weight.bits:
                self._coded.check(weight, self._names(weight))
            elif weight.role in ("bound", "ordering"):
                self.read(weight)
            else:
                self._sources(weight)

    def _sources(self, weight: Weight) -> list[tuple[str, int]]:
        """Return name and number of rows of each source, after checking shapes against the weight's."""
        names = self._names(weight)
        shapes = [_flattened(self._checkpoint.shape(name), weight) for name in names]
        if len(names) == 1 and shapes[0] != weight.shape:
            raise CheckpointError(_wrong_shape(names[0], weight.shape, shapes[0]))
        for name, shape in zip(names, shapes, strict=True):
            if shape[1:] != weight.shape[1:]:
                raise CheckpointError(_wrong_shape(name, ("rows", *weight.shape[1:]), shape))
        if sum(shape[0] for shape in shapes) != weight.shape[0]:
            found = ", ".join(f"{name} {list(shape)}" for name, shape in zip(names, shapes, strict=True))
            raise CheckpointError(f"Tensors of the wrong shape: {found}; expected {weight.shape[0]} rows together.")
        return [(name, shape[0]) for name, shape in zip(names, shapes, strict=True)]

    def _names(self, weight: Weight) -> list[str]:
        """Return the names of the weight's sources in the checkpoint."""
        return [self._spec.tensor_name(source) for source in weight.sources]

    def _bound(self, source: str) -> torch.Tensor:
        """Return a scalar [1] f32; 0 for an activation scale that the checkpoint does not have."""
        name = self._spec.tensor_name(source)
        is_range = name.endswith(RANGE)
        if is_range and name not in self._known:
            return torch.zeros(1)
        found = self._checkpoint.read(name)
        if found.numel() != 1:
            raise CheckpointError(_wrong_shape(name, (1,), tuple(found.shape)))
        value = float(found)
        if math.isnan(value) or (is_range and not 0 <= value < math.inf):
            expected = "a finite number, 0 or more" if is_range else "a number"
            raise CheckpointError(
                f"{self._checkpoint.folder}: tensor {name} is {value}; expected {expected}. The file is damaged or the "
                "training diverged; use another copy."
            )
        return found.reshape(1).float()

    def _ordering(self, weight: Weight) -> torch.Tensor:
        """Return the integers of an ordering as f32, which holds them exactly."""
        ((name, count),) = self._sources(weight)
        found = self._checkpoint.read(name)
        if not torch.equal(found.long().sort().values, torch.arange(count)):
            raise CheckpointError(
                f"{self._checkpoint.folder}: tensor {name} is not an ordering: expected each of 0 … {count - 1} once, "
                f"found {len(torch.unique(found))} different numbers from {found.min()} to {found.max()}. The file is "
                "damaged; use another copy."
            )
        return found.float()

    def _read(self, source: str, weight: Weight, first: int, last: int) -> torch.Tensor:
        """Return rows first … last - 1 of a source in the weight's layout."""
        shape = self._checkpoint.shape(source)
        if len(shape) == len(weight.shape):
            return self._checkpoint.read_rows(source, first, last)
        inner = shape[1]
        outer = self._checkpoint.read_rows(source, first // inner, -(-last // inner))
        return outer.flatten(0, 1)[first - first // inner * inner :][: last - first]

    def _whole(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor as f32, with the norm offset where it is a norm's weight."""
        found = self._finite(name, tensor).float()
        return found + self._spec.norm_offset if name.endswith("norm.weight") and self._spec.norm_offset else found

    def _finite(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point():
            raise CheckpointError(
                f"{self._checkpoint.folder}: tensor {name} is {tensor.dtype}; expected F32, F16 or BF16, since no "
                "quantization_config covers it. Check that config.json belongs to this checkpoint."
            )
        low, high = torch.aminmax(tensor)
        if not (torch.isfinite(low) and torch.isfinite(high)):
            bad = tensor.numel() - int(torch.isfinite(tensor).sum())
            raise CheckpointError(
                f"{self._checkpoint.folder}: tensor {name} has {bad} values that are NaN or infinite; expected finite "
                "numbers. The file is damaged or the training diverged; use another copy."
            )
        return tensor


def _flattened(shape: tuple[int, ...], weight: Weight) -> tuple[int, ...]:
    """Return a source's shape in the weight's layout: a stack of tables [n, rows, width] is one table."""
    if weight.role == "table" and len(shape) == 3:
        return (shape[0] * shape[1], shape[2])
    return shape


def _wrong_shape(name: str, expected: tuple[int | str, ...], found: tuple[int, ...]) -> str:
    return (
        f"Tensor {name} has the wrong shape: expected [{', '.join(map(str, expected))}] from config.json, "
        f"found {list(found)}. Check that config.json belongs to this checkpoint."
    )
