"""Weights on disk: the ONNX graphs' external data files, which the plans point into as well.

Planes lie in the order of the weights, each at a multiple of 256 bytes and padded to one, so that a reader may round a
plane's end up to whole words. Little is in memory at a time, whatever a weight's size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import MOST_DATA_FILES, data_file
from gemtab.errors import OutputError
from gemtab.graph import Weight
from gemtab.quantize import WeightReader, packed_rows, planes

ALIGNMENT = 256
FILE_BYTES = 1_900_000_000
"""Files below 2 GB pass through every web server, browser and 32-bit length on the way."""

CHUNK_BYTES = 64 << 20
"""How much of a weight, as f32, is read and packed at a time."""

Progress = Callable[[int], None]
"""Called with the number of bytes that were written since the last call."""


@dataclass(frozen=True)
class Location:
    """Where a plane lies: a file of the bundle (`onnx/…`), and the plane's first byte and size in it."""

    file: str
    offset: int
    bytes: int


class ShardWriter:
    """Writes planes one after another into the data files of one graph, opening the next file when one is full.

    An initializer lies in one file: a plane larger than `file_bytes` gets a file to itself.
    """

    def __init__(self, out: Path, stem: str, weight_format: WeightFormat, file_bytes: int = FILE_BYTES) -> None:
        self._out = out
        self._stem = stem
        self._format = weight_format
        self._file_bytes = file_bytes
        self._file: BinaryIO | None = None
        self._name = ""
        self._index = -1
        self._offset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def write(self, plane_bytes: int, parts: Iterator[memoryview]) -> Location:
        """Write a plane of `plane_bytes` bytes, given in parts. Raises OSError where the disk does not take it."""
        if self._file is None or (self._offset and self._offset + plane_bytes > self._file_bytes):
            self._next_file()
        location = Location(self._name, self._offset, plane_bytes)
        for part in parts:
            self._append(part)
        written = self._offset - location.offset
        assert written == plane_bytes, f"{self._name}: {written} bytes of a plane of {plane_bytes}"
        self._append(memoryview(bytes(-self._offset % ALIGNMENT)))
        return location

    def _append(self, part: memoryview) -> None:
        assert self._file is not None
        self._file.write(part)
        self._offset += part.nbytes

    def _next_file(self) -> None:
        self._close()
        self._index += 1
        if self._index == MOST_DATA_FILES:
            raise OutputError(
                f"{self._stem} needs more than {MOST_DATA_FILES} data files of {self._file_bytes:,} bytes, which ONNX "
                "readers in browsers refuse. Choose smaller weights."
            )
        self._name = data_file(self._stem, self._format, self._index)
        self._offset = 0
        path = self._out / self._name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def write_weights(
    out: Path,
    stem: str,
    weights: list[Weight],
    reader: WeightReader,
    weight_format: WeightFormat,
    progress: Progress,
    file_bytes: int = FILE_BYTES,
    chunk_bytes: int = CHUNK_BYTES,
) -> dict[tuple[str, str], Location]:
    """Write the weights as data files of the graph `stem` in the bundle folder `out`.

    Returns where each plane lies, by (weight name, plane name). Raises OSError where the disk does not take it, and
    OutputError where the files would be too many.
    """
    locations: dict[tuple[str, str], Location] = {}
    with ShardWriter(out, stem, weight_format, file_bytes) as shards:
        for weight in weights:
            _write_weight(shards, weight, reader, weight_format, chunk_bytes, progress, locations)
    return locations


def _write_weight(
    shards: ShardWriter,
    weight: Weight,
    reader: WeightReader,
    weight_format: WeightFormat,
    chunk_bytes: int,
    progress: Progress,
    locations: dict[tuple[str, str], Location],
) -> None:
    """Stream the first plane to disk; scales, 1/16 of it at most, wait in memory until it is complete."""
    first, *others = planes(weight, weight_format)
    waiting: dict[str, list[memoryview]] = {plane.name: [] for plane in others}

    def first_plane() -> Iterator[memoryview]:
        for start, stop in _row_ranges(weight, chunk_bytes):
            packed = packed_rows(reader, weight, weight_format, start, stop)
            for plane in others:
                waiting[plane.name].append(packed[plane.name].data.cast("B"))
            part = packed[first.name].data.cast("B")
            yield part
            progress(part.nbytes)

    locations[weight.name, first.name] = shards.write(first.bytes, first_plane())
    for plane in others:
        locations[weight.name, plane.name] = shards.write(plane.bytes, iter(waiting[plane.name]))
        progress(plane.bytes)


def _row_ranges(weight: Weight, chunk_bytes: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 of the rows (experts, of experts) that are read at a time."""
    rows = weight.shape[0]
    row_bytes = 4
    for dim in weight.shape[1:]:
        row_bytes *= dim
    step = max(1, chunk_bytes // row_bytes)
    return ((start, min(start + step, rows)) for start in range(0, rows, step))
