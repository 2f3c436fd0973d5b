"""Which mutant a round makes: by the seed and the round's number alone."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.hard.kinds import DECKS, KINDS
from tests.hard.mutant import Mutant


@dataclass(frozen=True)
class Round:
    """seed, number: what the mutant is made of. deck: of DECKS, what is drawn from."""

    seed: int
    number: int
    deck: str = "all"

    @property
    def kind(self) -> str:
        """In as many rounds as the deck has cards each card comes once, in an order of its own."""
        order = list(DECKS[self.deck])
        block, at = divmod(self.number, len(order))
        Random(f"{self.seed}/{block}").shuffle(order)
        return order[at]

    def mutant(self, bundle: Path) -> Mutant:
        """A mutant of the bundle in a folder."""
        made = Mutant(bundle)
        KINDS[self.kind](made, Random(f"{self.seed}/{self.number}"))
        return made

    def __str__(self) -> str:
        return f"{self.seed}:{self.number}"
