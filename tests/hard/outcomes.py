"""How rounds ended, and the table of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tests.hard.draw import Round

Class = Literal["accepted", "typed", "stopped", "untyped", "long", "fooled", "hang", "crash", "memory"]

CLASSES: Final[tuple[Class, ...]] = (
    "accepted",
    "typed",
    "stopped",
    "untyped",
    "long",
    "fooled",
    "hang",
    "crash",
    "memory",
)
"""accepted: as if nothing were wrong. typed: an error that users are meant to see. stopped: work that would not have
ended, or not soon, but that Stop ended at once. The others are failures: another error, or one of more than
MAX_CHARACTERS; what must be refused was taken; no end within the limit; the process died; it took more memory than it
may."""

FAILURES: Final = frozenset({"untyped", "long", "fooled", "hang", "crash", "memory"})

MAX_CHARACTERS = 700
"""Of an error's message."""


@dataclass(frozen=True)
class Outcome:
    """name: the error's class, or the signal's name; message: the first part of what was said."""

    outcome: Class
    name: str = ""
    message: str = ""
    seconds: float = 0.0

    def judged(self, must_be_refused: bool) -> "Outcome":
        """The same, by what the mutant was: one that must be refused was not, or was refused at too great length."""
        if self.outcome == "accepted" and must_be_refused:
            return Outcome("fooled", self.name, "accepted what its digests forbid", self.seconds)
        if self.outcome == "typed" and len(self.message) > MAX_CHARACTERS:
            return Outcome("long", self.name, self.message, self.seconds)
        return self


@dataclass(frozen=True)
class Result:
    """One round against one driver."""

    driver: str
    round: Round
    outcome: Outcome

    @property
    def failed(self) -> bool:
        return self.outcome.outcome in FAILURES

    @property
    def line(self) -> str:
        """For a list of failures: what it was and how to see it again."""
        one = self.outcome
        said = " ".join(one.message.split())[:160]
        again = f"python -m tests.hard {self.driver} --replay {self.round}"
        what = f"{one.outcome:8} {self.round!s:8} {self.round.kind:32} {one.seconds:5.1f} s"
        return f"{what}  {one.name}: {said}\n         {again}"


def counts(results: Sequence[Result]) -> Counter[str]:
    """How many rounds ended how."""
    return Counter(result.outcome.outcome for result in results)


def table(results: Sequence[Result]) -> str:
    """Kinds by outcomes, with totals; outcomes that did not occur are left out."""
    by_kind: dict[str, Counter[str]] = {}
    for result in results:
        by_kind.setdefault(result.round.kind, Counter())[result.outcome.outcome] += 1
    totals = counts(results)
    columns = [name for name in CLASSES if totals[name]]
    head = f"{'kind':34}{'rounds':>8}" + "".join(f"{name:>10}" for name in columns)
    rows = [_row(kind, by_kind[kind], columns) for kind in sorted(by_kind)]
    return "\n".join([head, *rows, _row("all", totals, columns)])


def _row(name: str, found: Counter[str], columns: Sequence[str]) -> str:
    return f"{name:34}{found.total():8}" + "".join(f"{found[column] or '·':>10}" for column in columns)


def distinct(results: Sequence[Result]) -> list[Result]:
    """The failures, each once: of those of one outcome, kind and error the first."""
    seen: dict[tuple[str, ...], Result] = {}
    for result in results:
        if result.failed:
            one = result.outcome
            seen.setdefault((one.outcome, result.round.kind, one.name, one.message[:40]), result)
    return list(seen.values())
