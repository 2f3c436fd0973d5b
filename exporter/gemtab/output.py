"""Writing a folder so that it is never there half done, on a disk that may be too small."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gemtab.errors import OutputError

_REASONS = {
    errno.ENOSPC: "the disk is full. Make room, or choose an output folder on another disk",
    errno.EDQUOT: "your disk quota is used up. Make room, or choose another output folder",
    errno.EFBIG: "a file would be larger than the file system or your limits allow (see `ulimit -f`)",
    errno.EACCES: "you may not write there. Choose another output folder",
    errno.EPERM: "you may not write there. Choose another output folder",
    errno.EROFS: "the disk is read-only. Choose another output folder",
}


def disk_full(error: Exception) -> bool:
    """Whether the error is that a disk, or one's part of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def check_room(out: Path, needed: int, held: int = 0) -> None:
    """Raises OutputError where the disk of `out` is too small for `needed` bytes, of which `held` are there already."""
    place = next((folder for folder in out.absolute().parents if folder.is_dir()), None)
    if place is None:
        return
    with explained(out, "Nothing was written."):
        free = shutil.disk_usage(place).free
    if needed - held > free:
        raise OutputError(
            f"{out} could not be written: it takes {needed:,} bytes{f' ({held:,} are there)' if held else ''}, and the "
            f"disk has {free:,} free. Make room, or choose an output folder on another disk."
        )


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write in, which takes its place at the end; after any error it is removed.

    Raises OutputError where the disk does not take what is written.
    """
    folder = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        with explained(out, f"Nothing was left at {out}."):
            out.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            yield folder
            put_in_place(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(folder: Path, out: Path) -> None:
    """Renames `folder` to `out`; what was at `out` is removed when that has worked."""
    replaced = out.with_name(f"{out.name}.replaced-{os.getpid()}")
    if out.exists():
        out.rename(replaced)
    try:
        folder.rename(out)
    except OSError:
        if replaced.exists():
            replaced.rename(out)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def explained(out: Path, afterwards: str) -> Iterator[None]:
    """Turns an OSError into an OutputError that says why, and `afterwards` how things stand now."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        where = error.filename or out
        raise OutputError(f"{where} could not be written: {reason}. {afterwards}") from error
