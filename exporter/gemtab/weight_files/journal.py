"""What an export has written so far, so that the next one need not write it again.

A text file beside the unfinished bundle: first a line with what the export is made of, then one a piece of weights,
with the checksum of its bytes and what was found of its values. A line is written after the bytes that it is about; one
that was cut short is none.
"""

from pathlib import Path
from typing import NamedTuple, Self


class Written(NamedTuple):
    """A piece of weights that is written. exact: how many of its blocks are, in bf16, the checkpoint's values."""

    checksum: int
    exact: int


class Journal:
    """done: the pieces that are written, by their number."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """A journal at `path` of the export that `fingerprint`, one line, stands for. One that is there already is
        taken up if it is of the same export; otherwise it begins anew."""
        self._path = path
        self._first = f"{fingerprint}\n".encode("ascii")
        self.done, self._bytes = _read(path, self._first)

    def __enter__(self) -> Self:
        """Opens the file for writing, behind the last line that is whole."""
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(self._bytes)
        if not self._bytes:
            self._file.write(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def record(self, piece: int, written: Written) -> None:
        """The piece is written. From here on an export that is killed need not write it again."""
        self.done[piece] = written
        self._file.write(f"{piece} {written.checksum} {written.exact}\n".encode("ascii"))

    def forget(self, piece: int) -> None:
        """The piece was found altered, and is written anew."""
        del self.done[piece]


def _read(path: Path, first: bytes) -> tuple[dict[int, Written], int]:
    """What is recorded, and the number of bytes up to the end of the last line that is whole. Of two lines about a
    piece the later counts."""
    content = path.read_bytes() if path.exists() else b""
    if not content.startswith(first):
        return {}, 0
    whole = content.rindex(b"\n") + 1
    done = {}
    for line in content[len(first) : whole].splitlines():
        piece, *written = (int(number) for number in line.split())
        done[piece] = Written(*written)
    return done, whole
