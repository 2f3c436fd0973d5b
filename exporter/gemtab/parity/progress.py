"""How `gemtab verify` tells what it is doing."""

from collections.abc import Callable
from typing import Protocol

Advance = Callable[[int], None]
"""Told that so much more of a stage is done."""

_FILLED_AT_ONCE = 8
"""Tokens of a prompt that take about as long as one that is decoded."""


class Progress(Protocol):
    """Told how a comparison goes."""

    def begin(self, stage: str, total: int) -> None:
        """A stage begins: what is done, and how much there is to do, in no unit of its own; 0 where it is not
        counted."""

    def advance(self, amount: int) -> None:
        """So much more is done."""


def nobody(_amount: int) -> None:
    """An Advance that tells nobody."""


def fill_work(tokens: int) -> int:
    """What so many tokens of a prompt add to the work of a text, each of whose decoded tokens is 1."""
    return -(-tokens // _FILLED_AT_ONCE)


class Stages:
    """Numbers stages for a Progress: `Running … (2 of 5)`."""

    def __init__(self, progress: Progress, count: int) -> None:
        self._progress = progress
        self._count = count
        self._begun = 0

    def begin(self, stage: str, total: int) -> Advance:
        """The next stage begins; tell what is returned how it goes."""
        self._begun += 1
        self._progress.begin(f"{stage} ({self._begun} of {self._count})", total)
        return self._progress.advance
