"""Read whole files: only regular ones, up to a given size.

A pipe could block forever, and a device has no end.
"""

import errno
import stat
from pathlib import Path


class NotReadError(OSError):
    """A file is not read, with the reason in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)

    def __str__(self) -> str:
        return str(self.strerror)


def check_regular(path: Path) -> None:
    """Raise NotReadError where `path` is neither a file nor a folder, OSError where it does not exist."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "not a regular file")
        raise NotReadError(f"it is {kind}, not a file")


def read_regular(path: Path, most: int) -> bytes:
    """Return the content. Raises OSError where `path` is not a regular file, or the file has more than `most` bytes."""
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise NotReadError(f"it has more than {most:,} bytes, the maximum for such a file")
    return content


_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
