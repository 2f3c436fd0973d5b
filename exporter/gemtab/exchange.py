"""Exchange the names of two folders atomically, on systems that can: Linux and macOS."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 1 << 1
"""Linux: see renameat2(2)."""

_RENAME_SWAP = 1 << 1
"""macOS: see renamex_np(2)."""

_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of kernels and file systems that cannot exchange names."""


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders on one file system, so that neither name is ever missing. Return False where
    the system or the file system cannot; raise OSError where it rejects the exchange."""
    result = _exchange(os.fsencode(one), os.fsencode(other))
    if result is None:
        return False
    if result == 0:
        return True
    if result in _CANNOT:
        return False
    raise OSError(result, os.strerror(result), str(other))


def _exchange(one: bytes, other: bytes) -> int | None:
    """Return 0 or the error's number; None where the call does not exist."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            failed = library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)
        elif sys.platform == "darwin":
            failed = library.renamex_np(one, other, _RENAME_SWAP)
        else:
            return None
    except (OSError, AttributeError, TypeError):
        return None
    return ctypes.get_errno() if failed else 0
