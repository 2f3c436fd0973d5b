"""Record the pieces of weights that an export has written, so that the next export can resume.

The journal is a text file beside the unfinished bundle: a line with the fingerprint of the export's inputs, then a line
for each piece, with the checksum of its bytes and its number of lossless blocks. A line is written after its bytes. A
truncated line does not count.
"""

from pathlib import Path
from typing import NamedTuple, Self


class Written(NamedTuple):
    """A written piece of weights. checksum: of its bytes. exact: number of blocks stored without loss in bf16."""

    checksum: int
    exact: int


class Journal:
    """done: the written pieces by number."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Open the journal at `path` for the export with the given fingerprint (one line). An existing journal of the
        same export is continued; any other starts again."""
        self._path = path
        self._first = f"{fingerprint}\n".encode("ascii")
        self.done, self._bytes = _read(path, self._first)

    def __enter__(self) -> Self:
        """Open the file for writing after the last complete line."""
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(self._bytes)
        if not self._bytes:
            self._file.write(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def record(self, piece: int, written: Written) -> None:
        """Record that the piece is written: a resumed export skips it."""
        self.done[piece] = written
        self._file.write(f"{piece} {written.checksum} {written.exact}\n".encode("ascii"))

    def forget(self, piece: int) -> None:
        """Forget a piece that was found altered: it is written again."""
        del self.done[piece]


def _read(path: Path, first: bytes) -> tuple[dict[int, Written], int]:
    """Return the recorded pieces, and the length in bytes up to the last complete line. The later of two lines on a
    piece counts."""
    content = path.read_bytes() if path.exists() else b""
    if not content.startswith(first):
        return {}, 0
    whole = content.rindex(b"\n") + 1
    done = {}
    for line in content[len(first) : whole].splitlines():
        piece, *written = (int(number) for number in line.split())
        done[piece] = Written(*written)
    return done, whole
