"""Remembers large files that have been verified, so that a bundle of 3 GB is read once and not at each start.

A file counts as unchanged while its size, times and inode stay the same. The kernel sets the time of the last status
change (ctime), and no program can set it back. Windows has no such time, so nothing is remembered there.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from gemtab.bundle.manifest import FileEntry
from gemtab.resources import cache_folder

NAME = "checked.json"

LEAST_BYTES = 4 << 20
"""Smaller files are verified each time."""

MAX_FILES = 5_000
"""Most files that are remembered. The oldest are forgotten first."""

_SETTLED_NS = 2_000_000_000
"""A file that changed less than this time ago is not remembered: another change may get the same time."""


class CheckedFiles:
    """Verified files, by their real paths."""

    def __init__(self, where: Path, known: Mapping[str, str]) -> None:
        self._where = where
        self._known = dict(known)
        self._changed = False

    @classmethod
    def load(cls, where: Path | None = None) -> "CheckedFiles":
        """Read the user's cache, or the file `where`. Return an empty object if it cannot be read."""
        path = where or cache_folder() / NAME
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if _is_ours(path) else {}
        except (OSError, ValueError, RecursionError):
            found = {}
        whole = isinstance(found, dict) and all(isinstance(one, str) for one in found.values())
        return cls(path, found if whole else {})

    def knows(self, path: Path, entry: FileEntry) -> bool:
        """Whether the file was verified against `entry` and has not changed since."""
        return entry.bytes >= LEAST_BYTES and self._known.get(os.path.realpath(path)) == _state(path, entry)

    @contextmanager
    def checking(self, path: Path, entry: FileEntry) -> Iterator[None]:
        """Verify the file against `entry` in the block. Remember the file if the block does not raise."""
        name, before, status = os.path.realpath(path), _state(path, entry), path.stat()
        yield
        settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS
        if entry.bytes >= LEAST_BYTES and settled and os.name == "posix" and _state(path, entry) == before:
            self._known.pop(name, None)
            self._known[name] = before
            self._changed = True

    def save(self) -> None:
        """Write the cache. A cache that cannot be written is no error."""
        if not self._changed:
            return
        kept = dict(list(self._known.items())[-MAX_FILES:])
        unfinished = self._where.with_name(f".{self._where.name}.{os.getpid()}")
        with suppress(OSError):
            self._where.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished.write_text(json.dumps(kept, indent=1), encoding="utf-8")
            unfinished.replace(self._where)


def _state(path: Path, entry: FileEntry) -> str:
    status = path.stat()
    digests = hashlib.sha256(" ".join([str(entry.slice_bytes), *entry.sha256]).encode()).hexdigest()
    numbers = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)
    return " ".join([*map(str, numbers), digests])


def _is_ours(path: Path) -> bool:
    """Whether no other user may write the file."""
    status = path.stat()
    return os.name == "posix" and status.st_uid == os.getuid() and not status.st_mode & 0o022
