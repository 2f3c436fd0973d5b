"""Weights in the bundle's files, cut into pieces that fit a binding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import RowsBuffer, WeightBuffer
from gemtab.errors import DeviceError
from gemtab.graph import Weight
from gemtab.quantize import StorageFormat, planes, storage_format


@dataclass(frozen=True)
class Piece:
    """Rows first … first + rows - 1 of a weight, as names of buffers by plane (`codes` and `scales`, or `values`). A
    row of experts is a whole expert."""

    first: int
    rows: int
    buffers: dict[str, str]


@dataclass(frozen=True)
class StoredWeights:
    """The locations of the planes of all weights.

    values: reads a weight of a few elements, which kernels take as parameters. max_binding: bytes. read_rows: reads
    rows first … stop - 1 of a matrix; None if weights have no data, as in a plan that is only counted.
    """

    format: WeightFormat
    locations: Mapping[tuple[str, str], Location]
    values: Callable[[Weight], list[float]]
    max_binding: int
    read_rows: Callable[[Weight, int, int], npt.NDArray[np.float32]] | None = None

    def format_of(self, weight: Weight) -> StorageFormat:
        """Return the format that the weight is stored in; vectors are f32 in every export."""
        return storage_format(weight, self.format)

    def scalar(self, weight: Weight) -> float:
        """Return the value of a weight of one element."""
        (value,) = self.values(weight)
        return value

    def vector(self, weight: Weight) -> npt.NDArray[np.float32]:
        """Return the values of a weight of a few elements."""
        return np.array(self.values(weight), np.float32)

    def rows(self, weight: Weight, first: int, stop: int) -> npt.NDArray[np.float32]:
        """Return rows first … stop - 1 of a matrix; zeros if weights have no data."""
        if self.read_rows is None:
            return np.zeros((stop - first, *weight.shape[1:]), np.float32)
        return self.read_rows(weight, first, stop)

    def whole(self, weight: Weight) -> tuple[str, WeightBuffer]:
        """Return the buffer of a vector. Raises DeviceError if the buffer exceeds a binding: only matrices are
        split."""
        name = f"{weight.name}:values"
        buffer = self._buffer(weight, "values", 0, None)
        if buffer.bytes > self.max_binding:
            raise DeviceError(
                f"{weight.name} takes {buffer.bytes:,} bytes, but a storage binding may have only "
                f"{self.max_binding:,}: raise the limit that the plan is made for, or leave this part out (`--inputs`)."
            )
        return name, buffer

    def pieces(self, weight: Weight) -> tuple[list[Piece], dict[str, WeightBuffer]]:
        """Return the weight in pieces of at most `max_binding` bytes per plane, and the buffers by name."""
        rows = weight.shape[0]
        most = self._rows_per_piece(weight)
        pieces, buffers = [], {}
        for first in range(0, rows, most):
            count = min(most, rows - first)
            named = {}
            for plane in self._row_bytes(weight):
                whole = count == rows
                name = f"{weight.name}:{plane}" + ("" if whole else f":{first}")
                named[plane] = name
                buffers[name] = self._buffer(weight, plane, first, None if whole else count)
            pieces.append(Piece(first, count, named))
        return pieces, buffers

    def max_slots(self, weight: Weight, max_bytes: int) -> int:
        """Return how many rows of a table fit both `max_bytes` - 4 bytes and a binding."""
        return min(self.max_binding, max_bytes - 4) // max(self._row_bytes(weight).values())

    def host_rows(
        self, weight: Weight, slots: int, replaced: tuple[int, ...], replacement: int
    ) -> dict[str, RowsBuffer]:
        """Return the buffers, by plane, that take `slots` rows of embeddings on the host."""
        rows = {}
        for plane, row_bytes in self._row_bytes(weight).items():
            at = self.locations[weight.name, plane]
            rows[plane] = RowsBuffer(
                file=at.file,
                offset=at.offset,
                row_bytes=row_bytes,
                rows=weight.shape[0],
                replaced=replaced,
                replacement=replacement,
                slots=slots,
                bytes=ceil(slots * row_bytes / 4) * 4,
            )
        return rows

    def _row_bytes(self, weight: Weight) -> dict[str, int]:
        rows = weight.shape[0]
        return {
            plane.name: self.locations[weight.name, plane.name].bytes // rows for plane in planes(weight, self.format)
        }

    def _rows_per_piece(self, weight: Weight) -> int:
        row_bytes = max(self._row_bytes(weight).values())
        most = self.max_binding // row_bytes
        if weight.shape[0] <= most:
            return weight.shape[0]
        # A piece may have any number of experts; rows of matrices are cut at multiples of 64.
        aligned = most if weight.role == "experts" else most // 64 * 64 or most // 2 * 2
        if not aligned:
            raise DeviceError(
                f"A row of {weight.name} takes {row_bytes:,} bytes, but a storage binding may have only "
                f"{self.max_binding:,}: raise the limit that the plan is made for, or choose smaller weights."
            )
        return aligned

    def _buffer(self, weight: Weight, plane: str, first: int, rows: int | None) -> WeightBuffer:
        at = self.locations[weight.name, plane]
        if rows is None:
            return WeightBuffer(file=at.file, offset=at.offset, bytes=ceil(at.bytes / 4) * 4)
        row_bytes = at.bytes // weight.shape[0]
        return WeightBuffer(file=at.file, offset=at.offset + first * row_bytes, bytes=ceil(rows * row_bytes / 4) * 4)
