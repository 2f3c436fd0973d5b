"""Which mutant a round makes: by the seed and the round's number alone."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.hard.kinds import KINDS
from tests.hard.mutant import Mutant


@dataclass(frozen=True)
class Round:
    """seed, number: what the mutant is made of."""

    seed: int
    number: int

    @property
    def kind(self) -> str:
        """Each kind comes once in as many rounds as there are kinds, in an order of its own."""
        block, at = divmod(self.number, len(KINDS))
        order = sorted(KINDS)
        Random(f"{self.seed}/{block}").shuffle(order)
        return order[at]

    def mutant(self, bundle: Path) -> Mutant:
        """A mutant of the bundle in a folder."""
        made = Mutant(bundle)
        KINDS[self.kind](made, Random(f"{self.seed}/{self.number}"))
        return made

    def __str__(self) -> str:
        return f"{self.seed}:{self.number}"
