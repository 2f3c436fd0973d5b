"""Write a folder atomically, on a disk that may be too small."""

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
    errno.ENOSPC: "the disk is full. Free some space, or choose an output folder on another disk",
    errno.EDQUOT: "your disk quota is used up. Free some space, or choose another output folder",
    errno.EFBIG: "a file would be larger than the file system or your limits allow (see `ulimit -f`)",
    errno.EACCES: "you have no permission to write there. Choose another output folder",
    errno.EPERM: "you have no permission to write there. Choose another output folder",
    errno.EROFS: "the disk is read-only. Choose another output folder",
    errno.ENAMETOOLONG: "the name is too long for this file system. Choose a shorter one",
    errno.ELOOP: "the links in its path form a circle. Choose another output folder",
}


LONGEST_NAME = 200
"""Maximum bytes of an output's name. File systems allow 255, and temporary names beside the output are longer."""


def disk_full(error: Exception) -> bool:
    """Whether the error says that a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def check_free_space(out: Path, needed: int, held: int = 0) -> None:
    """Raise OutputError where the disk of `out` has too little free space. needed: bytes to write, of which `held`
    exist.
    """
    with explained(out, "Nothing was written."):
        parent = next((folder for folder in out.absolute().parents if folder.is_dir()), None)
        if parent is None:
            return
        free = shutil.disk_usage(parent).free
    if needed - held > free:
        raise OutputError(
            f"{out} could not be written: it needs {needed:,} bytes{f' ({held:,} exist)' if held else ''}, and the "
            f"disk has {free:,} free. Free some space, or choose an output folder on another disk."
        )


def check_name(out: Path) -> None:
    """Raise OutputError where `out` cannot name a new folder, or its parent is not writable."""
    if out.name in ("", "..") or "\0" in str(out):
        example = out / "my-model"
        raise OutputError(
            f"{out} does not name a new folder. Give the output a name that does not exist yet, such as {example}."
        )
    if (length := len(os.fsencode(out.name))) > LONGEST_NAME:
        raise OutputError(
            f"The output's name has {length} bytes; the maximum is {LONGEST_NAME}, since longer names are made from "
            f"it: {out.name[:40]}…. Choose a shorter name."
        )
    with explained(out, "Nothing was written."):
        parent = next(folder for folder in out.absolute().parents if _is_there(folder))
        if parent.is_dir() and not os.access(parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parent))


def is_taken(out: Path) -> bool:
    """Whether something other than an empty folder is at `out`. Raises OutputError where that cannot be determined."""
    with explained(out, "Nothing was written."):
        return _is_there(out) and not (out.is_dir() and not any(out.iterdir()))


def _is_there(path: Path) -> bool:
    """Whether anything has that name, even a broken link."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out` to write in. At the end it is renamed to `out`; after an error it is removed.

    Raises OutputError where the disk does not accept what is written.
    """
    check_name(out)
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
    """Rename `folder` to `out`, after its content is on the disk. A folder that was at `out` is removed.

    Where the system can exchange names atomically, a whole folder is at `out` at every moment. Elsewhere the old folder
    is away for a moment, and `repair` restores it after a crash in that moment.
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
    """Restore or remove the folder that an interrupted replacement of `out` left aside."""
    replaced = _replaced(out)
    if _is_there(out):
        _remove(replaced)
    elif _is_there(replaced):
        replaced.rename(out)


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that readers, also after a power failure, see the old text or the new one. Raises OutputError
    where that fails."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    with explained(path, "The file is unchanged."):
        try:
            made.write_text(text, encoding="utf-8")
            _sync_file(made)
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)
        _sync_folder(path.parent)


def sync(folder: Path) -> None:
    """Wait until the folder and its whole content are on the disk."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync_file(Path(path) / name)
        _sync_folder(Path(path))


def _replaced(out: Path) -> Path:
    return out.with_name(f".{out.name}.replaced-by-gemtab")


def _remove(path: Path) -> None:
    """Remove a folder, or a link to one, as far as possible."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers(out: Path) -> None:
    """Remove the folders of killed processes that wrote for the same output."""
    for path in out.parent.glob(f"{glob.escape(out.name)}.partial-*"):
        number = path.name.rpartition("-")[2]
        if number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(path, ignore_errors=True)
    repair(out)


def _is_running(process: int) -> bool:
    """Whether a process with that number exists; True where the system cannot say."""
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
    if os.name != "posix":  # other systems do not open folders
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
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems without fsync
            raise


@contextmanager
def explained(out: Path, afterwards: str) -> Iterator[None]:
    """Turn an OSError into an OutputError with the reason. afterwards: a sentence on the state of the output."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        where = error.filename or out
        raise OutputError(f"{where} could not be written: {reason}. {afterwards}") from error
