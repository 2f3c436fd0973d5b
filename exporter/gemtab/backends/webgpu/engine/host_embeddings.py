"""Host-resident per-layer embeddings, and the rows of them that the GPU has."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from math import ceil

import numpy as np

from gemtab.bundle.plan import RowsBuffer


class HostEmbeddings:
    """Embeddings in the bundle's files. The GPU has the rows of the most recently used ids.

    embeddings: by the buffer's name, its plan entry and the bytes of all rows.
    """

    def __init__(self, embeddings: Mapping[str, tuple[RowsBuffer, np.ndarray]]) -> None:
        self._buffers = {name: buffer for name, (buffer, _) in embeddings.items()}
        self._rows = {name: data.reshape(buffer.rows, buffer.row_bytes) for name, (buffer, data) in embeddings.items()}
        # Copies of the GPU's buffers: a write must be whole words, which a row need not be.
        self._copies = {name: np.zeros(buffer.bytes, np.uint8) for name, buffer in self._buffers.items()}
        self._slots = min(buffer.slots for buffer in self._buffers.values())
        self._slot_of: OrderedDict[int, int] = OrderedDict()

    def place(self, ids: Sequence[int]) -> tuple[np.ndarray, list[tuple[str, int, np.ndarray]]]:
        """Give each id a slot. Return the slots [T] u32, and the writes to do first: buffer, offset, bytes."""
        wanted = dict.fromkeys(ids)
        for token in wanted:
            if token in self._slot_of:
                self._slot_of.move_to_end(token)
        missing = [token for token in wanted if token not in self._slot_of]
        for token in missing:
            full = len(self._slot_of) == self._slots
            self._slot_of[token] = self._slot_of.popitem(last=False)[1] if full else len(self._slot_of)
        spans = joined(sorted(self._slot_of[token] for token in missing))
        writes = [write for name in self._buffers for write in self._writes(name, missing, spans)]
        return np.array([self._slot_of[token] for token in ids], np.uint32), writes

    def _writes(
        self, name: str, missing: Sequence[int], spans: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[str, int, np.ndarray]]:
        buffer, rows, copy = self._buffers[name], self._rows[name], self._copies[name]
        size = buffer.row_bytes
        for token in missing:
            slot = self._slot_of[token]
            copy[slot * size : (slot + 1) * size] = rows[buffer.replacement if token in buffer.replaced else token]
        for first, stop in spans:
            start = first * size // 4 * 4
            yield name, start, copy[start : ceil(stop * size / 4) * 4]


def joined(slots: Sequence[int]) -> list[tuple[int, int]]:
    """Return the spans (first, stop) of consecutive numbers among ascending ones."""
    firsts = [slot for before, slot in zip([None, *slots], slots, strict=False) if before != slot - 1]
    lasts = [slot for slot, after in zip(slots, [*slots[1:], None], strict=False) if after != slot + 1]
    return [(first, last + 1) for first, last in zip(firsts, lasts, strict=True)]
