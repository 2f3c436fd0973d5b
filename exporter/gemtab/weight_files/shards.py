"""Writes weights into the external data files of the ONNX graphs, which plans use too.

Weights are read, packed and written in pieces of a few megabytes, several at a time, so that memory stays small for
weights of any size. The location of each piece is known beforehand (see layout.py). So pieces do not wait for each
other, and a resumed export skips written pieces.
"""

import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.graph import Weight
from gemtab.quantize import WeightReader, packed_counted, planes
from gemtab.quantize.formats import PlaneName
from gemtab.weight_files.journal import Journal, Written
from gemtab.weight_files.layout import Layout

CHUNK_BYTES = 16 << 20
"""Bytes of a weight, as f32, that are read and packed at a time."""

MAX_WORKERS = 8
"""Most threads that read and pack weights."""

Progress = Callable[[int], None]
"""Called with the number of bytes written since the last call."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Piece:
    """Rows start … stop - 1 of a weight's first axis, which for experts are whole experts.

    locations: of the weight's planes, one entry per graph that has the weight. The piece is packed once for all graphs.
    """

    weight: Weight
    start: int
    stop: int
    locations: tuple[dict[PlaneName, Location], ...]


def write_weights(
    out: Path,
    layouts: Sequence[Layout],
    reader: WeightReader,
    weight_format: WeightFormat,
    progress: Progress,
    journal: Journal | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> dict[str, int]:
    """Write the weights of all layouts into their data files in the bundle folder `out`.

    Returns the number of q4 blocks whose values equal the checkpoint's in bf16, by weight, for weights that have such
    blocks.

    journal: its pieces are kept if their checksums are right; written pieces are recorded. Raises OSError if a file
    cannot be written, and what the reader and the packing raise.
    """
    pieces = dict(enumerate(_pieces(layouts, weight_format, chunk_bytes)))
    _make_files(out, layouts)

    def checksum(index: int) -> tuple[int, int]:
        return index, _stored_checksum(out, pieces[index], weight_format)

    def write(index: int) -> tuple[int, Written]:
        return index, _write_piece(out, pieces[index], reader, weight_format)

    exact = Counter[str]()
    with _workers() as pool:
        if journal:
            for index, found in in_order_of_completion(pool, checksum, list(journal.done)):
                if journal.done[index].checksum == found:
                    exact[pieces[index].weight.name] += journal.done[index].exact
                    progress(_piece_bytes(pieces[index]))
                else:
                    journal.forget(index)
        done = journal.done if journal else {}
        for index, written in in_order_of_completion(pool, write, [index for index in pieces if index not in done]):
            if journal:
                journal.record(index, written)
            exact[pieces[index].weight.name] += written.exact
            progress(_piece_bytes(pieces[index]))
    return dict(+exact)


def in_order_of_completion(
    pool: ThreadPoolExecutor, function: Callable[[Task], Result], tasks: Iterable[Task], ahead: int = 4 * MAX_WORKERS
) -> Iterator[Result]:
    """Yield the function's results as they complete. At most `ahead` tasks are submitted before their results are
    taken.

    An error is raised after the results that completed before it.
    """
    waiting = iter(tasks)
    running: set[Future[Result]] = {pool.submit(function, task) for task in islice(waiting, ahead)}
    while running:
        ended, running = wait(running, return_when=FIRST_COMPLETED)
        for future in sorted(ended, key=_failed):
            yield future.result()
            running.update(pool.submit(function, task) for task in islice(waiting, 1))


def _failed(future: Future[Result]) -> bool:
    return future.exception() is not None


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Open a pool of one thread per CPU, at most MAX_WORKERS, in which torch uses one thread each. An error cancels
    waiting tasks."""
    before = torch.get_num_threads()
    count = min(os.cpu_count() or 1, MAX_WORKERS)
    pool = ThreadPoolExecutor(count, "weights", torch.set_num_threads, (1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


def _pieces(layouts: Sequence[Layout], weight_format: WeightFormat, chunk_bytes: int) -> Iterator[Piece]:
    weights = {weight.name: weight for layout in layouts for weight in layout.weights}
    for weight in weights.values():
        names = [plane.name for plane in planes(weight, weight_format)]
        locations = tuple(
            {name: layout.locations[weight.name, name] for name in names}
            for layout in layouts
            if (weight.name, names[0]) in layout.locations
        )
        rows = weight.shape[0]
        step = max(1, chunk_bytes // (4 * prod(weight.shape[1:])))
        for start in range(0, rows, step):
            yield Piece(weight, start, min(start + step, rows), locations)


def _make_files(out: Path, layouts: Sequence[Layout]) -> None:
    """Create the data files in their sizes. Existing content is kept."""
    for layout in layouts:
        for name, size in layout.files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.truncate(path, size)


def _write_piece(out: Path, piece: Piece, reader: WeightReader, weight_format: WeightFormat) -> Written:
    packed, exact = packed_counted(reader, piece.weight, weight_format, piece.start, piece.stop)
    parts = {name: _bytes(values) for name, values in packed.items()}
    for by_plane in piece.locations:
        for name, location in by_plane.items():
            with (out / location.file).open("r+b") as file:
                file.seek(_span(piece, location)[0])
                file.write(parts[name])
    checksum = _checksum(parts[plane.name] for _ in piece.locations for plane in planes(piece.weight, weight_format))
    return Written(checksum, exact)


def _stored_checksum(out: Path, piece: Piece, weight_format: WeightFormat) -> int:
    """Return the checksum of the bytes at the piece's locations."""
    return _checksum(
        _read(out / by_plane[plane.name].file, *_span(piece, by_plane[plane.name]))
        for by_plane in piece.locations
        for plane in planes(piece.weight, weight_format)
    )


def _read(path: Path, offset: int, size: int) -> memoryview:
    with path.open("rb") as file:
        file.seek(offset)
        return memoryview(file.read(size))


def _span(piece: Piece, location: Location) -> tuple[int, int]:
    """Return the first byte and the number of bytes of a piece in a plane. Planes are stored row by row."""
    row_bytes = location.bytes // piece.weight.shape[0]
    return location.offset + piece.start * row_bytes, (piece.stop - piece.start) * row_bytes


def _piece_bytes(piece: Piece) -> int:
    return sum(_span(piece, location)[1] for by_plane in piece.locations for location in by_plane.values())


def _bytes(values: npt.NDArray[np.generic]) -> memoryview:
    return values.reshape(-1).view(np.uint8).data


def _checksum(parts: Iterable[memoryview]) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum
