"""Rounds against a driver."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from tests.hard.draw import Round
from tests.hard.outcomes import Outcome, Result


class Driver(Protocol):
    """Something that uses bundles."""

    name: str
    deck: str
    """Of DECKS."""

    def use(self, bundle: Path) -> Outcome:
        """How it ended."""
        ...


READS_NO_DIGESTS = frozenset({"inspect", "fit", "serve"})
"""Drivers that do not look at the contents of files, and so cannot know that they are altered."""


def attack(
    driver: Driver, bundle: Path, rounds: Iterable[Round], reported: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """The result of each round, which `reported` gets as it comes."""
    results = []
    with tempfile.TemporaryDirectory(dir=bundle.parent) as folder:
        for one in rounds:
            mutant = one.mutant(bundle)
            place = mutant.write(Path(folder) / "mutant")
            refused = mutant.refused and driver.name not in READS_NO_DIGESTS
            result = Result(driver.name, one, driver.use(place).judged(refused))
            shutil.rmtree(place)
            results.append(result)
            reported(result)
    return results
