"""A bundle while it is being written: in `OUT.partial`, beside the place that it takes when it is whole.

    OUT.partial/bundle     the bundle so far; without a manifest, so that nobody takes it for one
    OUT.partial/journal    which pieces of the weights are in it: see `gemtab.weight_files.journal`
    OUT.partial/lock       held while an export runs; the system lets go of it when a process ends

An export that is interrupted, killed, or stopped by a full disk leaves the folder behind, and the next one for the same
place goes on where it stopped, if it is made of the same; otherwise it begins anew.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from gemtab.errors import GemtabError, OutputError
from gemtab.output import check_place, check_room, explained, put_in_place, repair
from gemtab.weight_files.journal import Journal
from gemtab.weight_files.layout import Layout


@dataclass(frozen=True)
class Partial:
    """folder: where the bundle is written; journal: what of its weights is there."""

    folder: Path
    journal: Journal


def kept_note(out: Path) -> str:
    """How things stand after an export was stopped."""
    folder = _folder(out)
    if not os.path.exists(folder):  # which is also False where that may not be known
        return f"Nothing was left at {out}."
    return f"What is done is kept in {folder}: the same command goes on from there; delete the folder to give it up."


@contextmanager
def partial(out: Path, fingerprint: str, layouts: Sequence[Layout], rest_bytes: int) -> Iterator[Partial]:
    """The unfinished bundle for `out`, which takes its place at the end, and the data files of `layouts` in it that
    were written before, by an export of the same `fingerprint` (one line).

    rest_bytes: what the bundle takes at least besides those files.
    Raises OutputError where another export to the same place runs, where the disk is too small, and where it takes no
    more; then, and after an interruption, what is written stays for the next time.
    """
    check_place(out)
    folder = _folder(out)
    with _errors_explained(out):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, out):
            journal = Journal(folder / "journal", fingerprint)
            with _kept_if_useful(folder, journal), journal:
                repair(out)
                _throw_away_but(folder / "bundle", layouts if journal.done else ())
                needed = sum(sum(layout.files.values()) for layout in layouts) + rest_bytes
                check_room(out, needed, _disk_bytes(folder / "bundle"))
                yield Partial(folder / "bundle", journal)
                put_in_place(folder / "bundle", out)
        shutil.rmtree(folder, ignore_errors=True)  # again, where the lock could not be removed while it was held


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


@contextmanager
def _kept_if_useful(folder: Path, journal: Journal) -> Iterator[None]:
    """Removes the folder in the end, but after an error that another run may not come to and go on from here."""
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


def _throw_away_but(bundle: Path, layouts: Sequence[Layout]) -> None:
    """Removes what an earlier export left, but for the data files; plans, shaders and graphs are made anew."""
    data = {bundle / name for layout in layouts for name in layout.files}
    bundle.mkdir(exist_ok=True)
    for path in sorted(bundle.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in data:
            path.unlink()


def _disk_bytes(folder: Path) -> int:
    """What the folder's files take on the disk, where they may have holes."""
    return sum(_blocks(path) for path in folder.rglob("*") if path.is_file())


def _blocks(path: Path) -> int:
    stat = path.stat()
    return int(getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512)
