"""Host-resident per-layer embeddings, and the rows of them that the GPU has."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from math import ceil

import numpy as np

from gemtab.bundle.plan import RowsBuffer


class HostTables:
    """Embeddings in the bundle's files, whose rows of the last used ids are on the GPU.

    tables: by the name of the buffer, its plan entry and the table's bytes.
    """

    def __init__(self, tables: Mapping[str, tuple[RowsBuffer, np.ndarray]]) -> None:
        self._buffers = {name: buffer for name, (buffer, _) in tables.items()}
        self._rows = {name: data.reshape(buffer.rows, buffer.row_bytes) for name, (buffer, data) in tables.items()}
        # Copies of the GPU's buffers: a write must be whole words, which a row need not be.
        self._copies = {name: np.zeros(buffer.bytes, np.uint8) for name, buffer in self._buffers.items()}
        self._places = min(buffer.places for buffer in self._buffers.values())
        self._place_of: OrderedDict[int, int] = OrderedDict()

    def place(self, ids: Sequence[int]) -> tuple[np.ndarray, list[tuple[str, int, np.ndarray]]]:
        """Return the slots of the rows of `ids`, [T] u32, and the writes to do first: buffer, offset and bytes."""
        wanted = dict.fromkeys(ids)
        for token in wanted:
            if token in self._place_of:
                self._place_of.move_to_end(token)
        missing = [token for token in wanted if token not in self._place_of]
        for token in missing:
            full = len(self._place_of) == self._places
            self._place_of[token] = self._place_of.popitem(last=False)[1] if full else len(self._place_of)
        spans = joined(sorted(self._place_of[token] for token in missing))
        writes = [write for name in self._buffers for write in self._writes(name, missing, spans)]
        return np.array([self._place_of[token] for token in ids], np.uint32), writes

    def _writes(
        self, name: str, missing: Sequence[int], spans: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[str, int, np.ndarray]]:
        buffer, rows, copy = self._buffers[name], self._rows[name], self._copies[name]
        size = buffer.row_bytes
        for token in missing:
            place = self._place_of[token]
            copy[place * size : (place + 1) * size] = rows[buffer.by if token in buffer.replaced else token]
        for first, stop in spans:
            start = first * size // 4 * 4
            yield name, start, copy[start : ceil(stop * size / 4) * 4]


def joined(places: Sequence[int]) -> list[tuple[int, int]]:
    """Return the spans (first, stop) of consecutive numbers among ascending ones."""
    firsts = [place for before, place in zip([None, *places], places, strict=False) if before != place - 1]
    lasts = [place for place, after in zip(places, [*places[1:], None], strict=False) if after != place + 1]
    return [(first, last + 1) for first, last in zip(firsts, lasts, strict=True)]
