"""The memory of a process, and its limit for a process that runs a bundle."""

import os
from pathlib import Path

_LEAST_BYTES = 2 << 30
"""Bytes for libraries, a driver and a small bundle."""

_TIMES_FILES = 16
"""Factor from a bundle's files to the memory that it may need: 4 bits become 32 for the reference, and caches are
added."""


def taken(process: int) -> int:
    """Return the bytes of memory that a process takes now; 0 where the system cannot say."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def max_for(folder: Path | None) -> int | None:
    """Return the bytes that running the bundle in `folder` may take; None without a bundle, or where the system cannot
    measure memory."""
    if folder is None or not taken(os.getpid()):
        return None
    try:
        files = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        files = 0
    return _LEAST_BYTES + _TIMES_FILES * files
