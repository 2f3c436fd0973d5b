"""Digests of a bundle's files, slice by slice, so that a reader can check what it has before it has the rest."""

import hashlib
from pathlib import Path

from gemtab.bundle.manifest import FileEntry

SLICE_BYTES = 64 << 20
"""The largest slice: what a tab holds in memory at once while it loads."""


def digest_file(path: Path, slice_bytes: int = SLICE_BYTES) -> FileEntry:
    """The manifest's entry for the file at `path`; one slice is read at a time."""
    digests: list[str] = []
    size = 0
    with path.open("rb") as file:
        while piece := file.read(slice_bytes):
            digests.append(hashlib.sha256(piece).hexdigest())
            size += len(piece)
    return FileEntry(bytes=size, slice_bytes=slice_bytes, sha256=tuple(digests))
