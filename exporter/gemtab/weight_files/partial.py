"""A bundle that is being written in `OUT.partial`, and renamed to OUT when it is complete.

    OUT.partial/bundle     the bundle so far, without a manifest, so that it does not count as a bundle
    OUT.partial/journal    the pieces of weights that are in it: see `gemtab.weight_files.journal`
    OUT.partial/lock       held while an export runs; the system releases it when the process ends

An export that is interrupted, killed, or stopped by a full disk leaves this folder. The next export to the same OUT
resumes if its inputs are the same; otherwise it starts again.
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
    """folder: of the unfinished bundle. journal: of its weights."""

    folder: Path
    journal: Journal


def kept_note(out: Path) -> str:
    """Return a sentence on the state after an export was stopped."""
    folder = _folder(out)
    if not os.path.exists(folder):  # also False without permission to look
        return f"Nothing was left at {out}."
    return f"Finished work is kept in {folder}: the same command resumes from there. Delete the folder to discard it."


@contextmanager
def partial(out: Path, fingerprint: str, layouts: Sequence[Layout], rest_bytes: int) -> Iterator[Partial]:
    """Yield the unfinished bundle for `out`, and rename it to `out` at the end. Data files of `layouts` that an export
    with the same `fingerprint` (one line) wrote earlier are in it.

    rest_bytes: minimum size of the bundle without those files. Raises OutputError where another export to `out` runs,
    the disk is too small, or the disk is full. Then, and after an interruption, written pieces are kept for the next
    export.
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
        shutil.rmtree(folder, ignore_errors=True)  # once more, for a lock that could not be removed while held


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


@contextmanager
def _kept_if_useful(folder: Path, journal: Journal) -> Iterator[None]:
    """Remove the folder at the end, except after an error from which another run may resume."""
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
            f"Another export to {out} is running: it holds {folder / 'lock'}. Wait until it ends, or choose another "
            "output folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _remove_all_but(bundle: Path, layouts: Sequence[Layout]) -> None:
    """Remove everything of an earlier export except data files; plans, shaders and graphs are made again."""
    data = {bundle / name for layout in layouts for name in layout.files}
    bundle.mkdir(exist_ok=True)
    for path in sorted(bundle.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in data:
            path.unlink()


def _disk_bytes(folder: Path) -> int:
    """Return the bytes on disk of the folder's files, which may be sparse."""
    return sum(_blocks(path) for path in folder.rglob("*") if path.is_file())


def _blocks(path: Path) -> int:
    stat = path.stat()
    return int(getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512)
