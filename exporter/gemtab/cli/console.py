"""Printing for all commands: answers and tables go to stdout, everything else to stderr."""

import io
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.segment import Segment
from rich.text import Text

from gemtab.errors import GemtabError, UsageError
from gemtab.shown import shown, shown_in_line, shown_json


class PlainConsole(Console):
    """A console that interprets no markup, and shows control characters instead of sending them."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - Rich's own
        """Called by Rich for strings; Rich itself would drop some control characters silently."""
        return super().render_str(shown(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Called by Rich for everything that is printed, cells of tables included."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown(segment.text))


out = PlainConsole()
err = PlainConsole(stderr=True)


def print_error(error: GemtabError) -> None:
    """Print an error as one paragraph on stderr."""
    words = shown_in_line(str(error))
    err.print(Text.assemble(("gemtab:", "bold red"), " ", words), soft_wrap=not err.is_terminal)


def print_json(text: str) -> None:
    """Print JSON on stdout, with escapes for control characters."""
    out.file.write(shown_json(text) + "\n")


def print_answer(text: str) -> None:
    """Print a part of the model's answer on stdout: control characters are shown on a terminal, unchanged elsewhere."""
    sys.stdout.write(shown(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def escape_what_cannot_be_written() -> None:
    """Make stdout and stderr write escapes for characters that their encoding lacks, as in paths that are not text."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def size(count: float) -> str:
    """Format bytes in decimal units, as disks and networks are sold: `2.46 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def byte_count(text: str) -> int:
    """Parse a size on the command line to bytes: `8GB`, `1.5 GiB`, or a plain number. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if not found or found[2] not in _UNITS:
        raise UsageError(f"{text!r} is not a size of memory. Write it as 8GB, 1.5GiB or 512MB.")
    return int(float(found[1]) * _UNITS[found[2]])


SECONDS_BETWEEN_LINES = 30.0
"""Interval of progress lines where stderr is not a terminal."""


class StageProgress:
    """Shows a command's stages: a bar with rate and remaining time where work is counted, else a spinner. Where stderr
    is not a terminal, one line every half minute."""

    def __init__(self, progress: Progress, lines: bool) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._lines = lines
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES

    def begin(self, stage: str, total: int = 0) -> None:
        """See `gemtab.export.Progress`."""
        self._finish()
        self._task = self._progress.add_task(stage, total=total or None)
        self._print_line()

    def advance(self, amount: int) -> None:
        """See `gemtab.export.Progress`."""
        if self._task is not None:
            self._progress.advance(self._task, amount)
            self._print_line()

    def _print_line(self) -> None:
        if self._lines and self._task is not None and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            task = self._progress.tasks[-1]
            share = f": {task.percentage:.0f} %" if task.total else ""
            err.print(f"{task.description}{share}", markup=False, soft_wrap=True)

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)


@contextmanager
def stage_progress(quiet: bool = False, unit: Literal["bytes", "share"] = "bytes") -> Iterator[StageProgress]:
    """Show progress on stderr within the context, and remove it afterwards; nothing if `quiet`. unit: whether amounts
    are bytes, or only their share of the total is shown."""
    counted = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (TaskProgressColumn(),)
    words = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), words, BarColumn(), *counted, TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
        yield StageProgress(progress, lines=not quiet and not err.is_terminal)
