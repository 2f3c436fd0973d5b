"""Progress of `gemtab verify`."""

from collections.abc import Callable
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the amount of a stage that is newly done."""

_FILLED_AT_ONCE = 8
"""Prompt tokens that take about as long as one decoded token."""


class Progress(Protocol):
    """Receives the progress of a comparison."""

    def begin(self, stage: str, total: int) -> None:
        """A stage begins. stage: its description. total: its amount of work, without a unit; 0 where it is not
        counted."""

    def advance(self, amount: int) -> None:
        """`amount` more work is done."""


def nobody(_amount: int) -> None:
    """An Advance that does nothing."""


def fill_work(tokens: int) -> int:
    """Return the work of `tokens` prompt tokens; a decoded token is 1."""
    return -(-tokens // _FILLED_AT_ONCE)


class Stages:
    """Numbers stages for a Progress: `Running … (2 of 5)`."""

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress = progress
        self._count = count
        self._begun = 0

    def begin(self, stage: str, total: int) -> Advance:
        """Begin the next stage. Return its Advance."""
        self._begun += 1
        self._progress.begin(f"{stage} ({self._begun} of {self._count})", total)
        return self._progress.advance
