"""How much memory a process takes, and how much one may take that runs a bundle."""

import os
from pathlib import Path

_LEAST_BYTES = 2 << 30
"""What libraries, a driver and a small bundle need."""

_TIMES_FILES = 16
"""How many times its files a bundle may need: 4 bits become 32 for the reference, and there are caches."""


def taken(process: int) -> int:
    """Bytes of memory that a process takes now; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def most_for(folder: Path | None) -> int | None:
    """Bytes that running the bundle in `folder` may take; None where there is no bundle, or the system does not tell
    what is taken."""
    if folder is None or not taken(os.getpid()):
        return None
    try:
        files = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        files = 0
    return _LEAST_BYTES + _TIMES_FILES * files
