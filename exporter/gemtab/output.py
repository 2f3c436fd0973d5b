"""Writing a folder so that it is never there half done, on a disk that may be too small."""

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gemtab.errors import OutputError
from gemtab.exchange import exchange

_REASONS = {
    errno.ENOSPC: "the disk is full. Make room, or choose an output folder on another disk",
    errno.EDQUOT: "your disk quota is used up. Make room, or choose another output folder",
    errno.EFBIG: "a file would be larger than the file system or your limits allow (see `ulimit -f`)",
    errno.EACCES: "you may not write there. Choose another output folder",
    errno.EPERM: "you may not write there. Choose another output folder",
    errno.EROFS: "the disk is read-only. Choose another output folder",
    errno.ENAMETOOLONG: "the name is too long for this file system. Choose a shorter one",
    errno.ELOOP: "links lead in a circle there. Choose another output folder",
}


LONGEST_NAME = 200
"""Bytes of an output's name. File systems take 255, and the names beside it are longer."""


def disk_full(error: Exception) -> bool:
    """Whether the error is that a disk, or one's part of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def check_room(out: Path, needed: int, held: int = 0) -> None:
    """Raises OutputError where the disk of `out` is too small for `needed` bytes, of which `held` are there already."""
    with explained(out, "Nothing was written."):
        place = next((folder for folder in out.absolute().parents if folder.is_dir()), None)
        if place is None:
            return
        free = shutil.disk_usage(place).free
    if needed - held > free:
        raise OutputError(
            f"{out} could not be written: it takes {needed:,} bytes{f' ({held:,} are there)' if held else ''}, and the "
            f"disk has {free:,} free. Make room, or choose an output folder on another disk."
        )


def check_place(out: Path) -> None:
    """Raises OutputError where `out` cannot be the name of a new folder, or its parent takes none."""
    if out.name in ("", "..") or "\0" in str(out):
        example = out / "my-model"
        raise OutputError(f"{out} names no new folder. Give the output a name that no folder has yet, as {example}.")
    if (length := len(os.fsencode(out.name))) > LONGEST_NAME:
        raise OutputError(
            f"The output's name has {length} bytes, and at most {LONGEST_NAME} are taken, since others are made of it: "
            f"{out.name[:40]}…. Choose a shorter one."
        )
    with explained(out, "Nothing was written."):
        parent = next(folder for folder in out.absolute().parents if _is_there(folder))
        if parent.is_dir() and not os.access(parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parent))


def is_taken(out: Path) -> bool:
    """Whether there is something at `out` but an empty folder. Raises OutputError where that cannot be seen."""
    with explained(out, "Nothing was written."):
        return _is_there(out) and not (out.is_dir() and not any(out.iterdir()))


def _is_there(path: Path) -> bool:
    """Whether there is anything of that name, be it a link that leads nowhere."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write in, which takes its place at the end; after any error it is removed.

    Raises OutputError where the disk does not take what is written.
    """
    check_place(out)
    folder = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        with explained(out, f"Nothing was left at {out}."):
            out.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(out)
            folder.mkdir()
            yield folder
            put_in_place(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(folder: Path, out: Path) -> None:
    """Gives `folder` the name `out`, with all that is in it on the disk; what was at `out` is removed.

    Where the system can let two folders change places, there is a whole folder at `out` at each moment. Elsewhere what
    was there is away for a moment, and `repair` brings it back where that moment was the last.
    """
    sync(folder)
    replaced = _replaced(out)
    there = _is_there(out)
    if there and exchange(folder, out):
        replaced = folder
    elif there:
        out.rename(replaced)
    if replaced != folder:
        try:
            folder.rename(out)
        except OSError:
            repair(out)
            raise
    _sync_folder(out.parent)
    _remove(replaced)


def repair(out: Path) -> None:
    """Brings back, or removes, what a replacement of `out` left that was stopped half way."""
    replaced = _replaced(out)
    if _is_there(out):
        _remove(replaced)
    elif _is_there(replaced):
        replaced.rename(out)


def write_in_one_step(path: Path, text: str) -> None:
    """Writes a file so that a reader, also after a loss of power, sees the old text or the new one. Raises
    OutputError where that fails."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    with explained(path, "The file is as it was."):
        try:
            made.write_text(text, encoding="utf-8")
            _sync_file(made)
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)
        _sync_folder(path.parent)


def sync(folder: Path) -> None:
    """Waits until the folder and all in it are on the disk."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync_file(Path(path) / name)
        _sync_folder(Path(path))


def _replaced(out: Path) -> Path:
    return out.with_name(f".{out.name}.replaced-by-gemtab")


def _remove(path: Path) -> None:
    """Removes a folder, or a link to one, as far as that goes."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers(out: Path) -> None:
    """Removes what processes left that were killed while they wrote for the same place."""
    for path in out.parent.glob(f"{glob.escape(out.name)}.partial-*"):
        number = path.name.rpartition("-")[2]
        if number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(path, ignore_errors=True)
    repair(out)


def _is_running(process: int) -> bool:
    """Whether there is a process of that number; where the system cannot be asked, there may be."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        _sync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # others do not open folders
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        _sync(opened)
    finally:
        os.close(opened)


def _sync(opened: int) -> None:
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that have nothing to wait for
            raise


@contextmanager
def explained(out: Path, afterwards: str) -> Iterator[None]:
    """Turns an OSError into an OutputError that says why, and `afterwards` how things stand now."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        where = error.filename or out
        raise OutputError(f"{where} could not be written: {reason}. {afterwards}") from error
