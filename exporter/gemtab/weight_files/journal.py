"""The journal of an export: which pieces of the weights are written. A resumed export skips these pieces.

The journal is a text file beside the unfinished bundle. Its first line is the fingerprint of the export. Each further
line has the number of a piece, the checksum of its bytes, and its number of exact blocks. A line is written after the
piece's bytes. A last line without a newline is ignored.
"""

from pathlib import Path
from typing import NamedTuple, Self


class Written(NamedTuple):
    """A written piece of weights. exact: number of blocks that equal the checkpoint's values in bf16."""

    checksum: int
    exact: int


class Journal:
    """A journal of written pieces. done: the written pieces, by number."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Open the journal at `path`. fingerprint: one line that identifies the export.

        An existing journal of the same export is continued. Any other is overwritten.
        """
        self._path = path
        self._first = f"{fingerprint}\n".encode("ascii")
        self.done, self._bytes = _read(path, self._first)

    def __enter__(self) -> Self:
        """Open the file for writing, after the last complete line."""
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(self._bytes)
        if not self._bytes:
            self._file.write(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def record(self, piece: int, written: Written) -> None:
        """Record a written piece. A resumed export skips the piece."""
        self.done[piece] = written
        self._file.write(f"{piece} {written.checksum} {written.exact}\n".encode("ascii"))

    def forget(self, piece: int) -> None:
        """Drop a piece whose bytes have changed, so that it is written again."""
        del self.done[piece]


def _read(path: Path, first: bytes) -> tuple[dict[int, Written], int]:
    """Return the recorded pieces, and the bytes up to the end of the last complete line. Of two lines of one piece, the
    later counts."""
    content = path.read_bytes() if path.exists() else b""
    if not content.startswith(first):
        return {}, 0
    whole = content.rindex(b"\n") + 1
    done = {}
    for line in content[len(first) : whole].splitlines():
        piece, *written = (int(number) for number in line.split())
        done[piece] = Written(*written)
    return done, whole
