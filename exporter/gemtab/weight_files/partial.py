"""The unfinished bundle of an export to OUT, in the folder OUT.partial. The move to OUT is atomic.

    OUT.partial/bundle     the bundle so far; no manifest, so that no reader accepts the bundle
    OUT.partial/journal    the written pieces of weights: see `gemtab.weight_files.journal`
    OUT.partial/lock       held while an export runs; the system releases the lock when the process ends

An export that is interrupted, killed, or stopped by a full disk leaves the folder. The next export to OUT resumes there
if its fingerprint is the same; otherwise it begins again.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from gemtab.errors import GemtabError, OutputError
from gemtab.output import check_free_space, check_name, explained, put_in_place, repair
from gemtab.weight_files.journal import Journal
from gemtab.weight_files.layout import Layout


@dataclass(frozen=True)
class Partial:
    """An unfinished bundle. folder: of the bundle. journal: of its written weights."""

    folder: Path
    journal: Journal


def kept_note(out: Path) -> str:
    """Return the sentence for users about the remains of a stopped export."""
    folder = _folder(out)
    if not os.path.exists(folder):  # also False if access is denied
        return f"Nothing was left at {out}."
    return f"Finished work is kept in {folder}: the same command resumes from there. Delete the folder to discard it."


@contextmanager
def partial(out: Path, fingerprint: str, layouts: Sequence[Layout], rest_bytes: int) -> Iterator[Partial]:
    """Open the unfinished bundle for `out`, and move the bundle to `out` at the end of the block.

    fingerprint: one line. The data files of `layouts` are kept if an export with the same fingerprint has written them.
    rest_bytes: least bytes of the bundle besides these files. Raises OutputError if another export to `out` runs or the
    disk is full; then, and after an interruption, the unfinished bundle is kept.
    """
    check_name(out)
    folder = _folder(out)
    with _errors_explained(out):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, out):
            journal = Journal(folder / "journal", fingerprint)
            with _kept_if_useful(folder, journal), journal:
                repair(out)
                _remove_all_but(folder / "bundle", layouts if journal.done else ())
                needed = sum(sum(layout.files.values()) for layout in layouts) + rest_bytes
                check_free_space(out, needed, _disk_bytes(folder / "bundle"))
                yield Partial(folder / "bundle", journal)
                put_in_place(folder / "bundle", out)
        shutil.rmtree(folder, ignore_errors=True)  # again: some systems cannot remove a lock that is held


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


@contextmanager
def _kept_if_useful(folder: Path, journal: Journal) -> Iterator[None]:
    """Remove the folder at the end of the block, except after an error from which another run may resume."""
    try:
        yield
    except BaseException as error:
        hopeless = isinstance(error, GemtabError) and not isinstance(error, OutputError)
        if hopeless or not journal.done:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _errors_explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        with explained(out, kept_note(out)):
            raise error


@contextmanager
def _locked(folder: Path, out: Path) -> Iterator[None]:
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"Another export to {out} is running: it holds {folder / 'lock'}. Wait for its end, or choose another "
            "output folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _remove_all_but(bundle: Path, layouts: Sequence[Layout]) -> None:
    """Remove all files of an earlier export except data files. Plans, shaders and graphs are written again."""
    data = {bundle / name for layout in layouts for name in layout.files}
    bundle.mkdir(exist_ok=True)
    for path in sorted(bundle.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in data:
            path.unlink()


def _disk_bytes(folder: Path) -> int:
    """Return the disk bytes of the folder's files, which may be sparse."""
    return sum(_blocks(path) for path in folder.rglob("*") if path.is_file())


def _blocks(path: Path) -> int:
    stat = path.stat()
    return int(getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512)
