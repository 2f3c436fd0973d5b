"""The interface of kinds of damage."""

from collections.abc import Callable
from random import Random

from tests.hard.mutant import Mutant

Kind = Callable[[Mutant, Random], None]


def either(*kinds: Kind) -> Kind:
    """One of them."""
    return lambda mutant, rng: rng.choice(kinds)(mutant, rng)
