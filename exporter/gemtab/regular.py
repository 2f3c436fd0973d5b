"""Files that are read as a whole: regular ones, of a size that such a file may have.

A pipe would be waited for without end, and a device has no end.
"""

import errno
import stat
from pathlib import Path


class NotReadError(OSError):
    """Why a file is not read, in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)

    def __str__(self) -> str:
        return str(self.strerror)


def check_regular(path: Path) -> None:
    """Raises NotReadError where there is something else than a file or a folder, and OSError where there is nothing."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")
        raise NotReadError(f"it is {kind}, and no file")


def read_regular(path: Path, most: int) -> bytes:
    """The content. Raises OSError where the path is not that of a regular file, or the file has more than `most`
    bytes."""
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise NotReadError(f"it has more than the {most:,} bytes that such a file may have")
    return content


_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
