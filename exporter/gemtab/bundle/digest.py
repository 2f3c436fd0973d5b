"""Digests of a bundle's files, slice by slice, so that a reader can verify a slice before the rest has arrived."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gemtab.bundle.manifest import FileEntry

SLICE_BYTES = 16 << 20
"""Bytes of a slice of an export. A tab keeps one slice in memory while it loads."""

_READ_BYTES = 1 << 20

_AT_ONCE = 64
"""Slices that are given to the threads at once: a manifest may have a hundred thousand."""


def digest_file(path: Path, slice_bytes: int = SLICE_BYTES) -> FileEntry:
    """Return the manifest's entry for the file at `path`. Reads the file in parts."""
    return digest_files(path.parent, [path.name], slice_bytes)[path.name]


def digest_files(
    folder: Path,
    names: Sequence[str],
    slice_bytes: int = SLICE_BYTES,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, FileEntry]:
    """Return the manifest's entries for files of the folder, by name. Reads several slices at a time.

    An empty file has one, empty slice. progress: called with the number of bytes just read.
    """
    sizes = {name: (folder / name).stat().st_size for name in names}
    slices = [(name, start) for name, size in sizes.items() for start in range(0, max(size, 1), slice_bytes)]
    digests: dict[str, list[str]] = {name: [] for name in names}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, max(len(slices), 1))) as pool:
        try:
            found = pool.map(lambda one: _digest_slice(folder / one[0], one[1], slice_bytes), slices)
            for (name, start), digest in zip(slices, found, strict=True):
                digests[name].append(digest)
                progress(min(slice_bytes, sizes[name] - start))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {name: FileEntry(bytes=sizes[name], slice_bytes=slice_bytes, sha256=tuple(digests[name])) for name in names}


def digest_slices(path: Path, entry: FileEntry) -> Iterator[str]:
    """Yield the digests of a file's slices in order. entry: the number and the size of the slices."""
    count, pool_size = len(entry.sha256), os.cpu_count() or 1
    if count == 1:
        yield _digest_slice(path, 0, entry.slice_bytes)
        return
    with ThreadPoolExecutor(pool_size) as pool:
        for first in range(0, count, _AT_ONCE):
            starts = [index * entry.slice_bytes for index in range(first, min(first + _AT_ONCE, count))]
            yield from pool.map(lambda start: _digest_slice(path, start, entry.slice_bytes), starts)


def _digest_slice(path: Path, start: int, slice_bytes: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        left = slice_bytes
        while left and (part := file.read(min(left, _READ_BYTES))):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()
