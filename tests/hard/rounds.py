"""How many rounds a run of the tests makes, and what it says of them.

`GEMTAB_ROUNDS=600 pytest tests/hard playwright_tests/test_attack.py` makes so many for each driver, of a new seed; so
does `make soak`. The line of a failure says how to see that one round again.
"""

import os
import random
from collections.abc import Sequence
from pathlib import Path

from tests.hard.attack import Driver, attack
from tests.hard.draw import Round
from tests.hard.outcomes import Result, counts, distinct, table

MORE = int(os.environ.get("GEMTAB_ROUNDS", "0"))
SEED = random.randrange(1000, 1_000_000) if MORE else 0


def attacked(driver: Driver, bundle: Path, rounds: Sequence[int]) -> str:
    """Attacks by these rounds, or by more where that is asked for, and returns what came of it. Fails where anything
    failed."""
    numbers = range(MORE) if MORE else rounds
    results = attack(driver, bundle, [Round(SEED, number, driver.deck) for number in numbers])
    failures = distinct(results)
    assert not failures, f"{_summary(results)}\n" + "\n".join(result.line for result in failures)
    return _summary(results)


def _summary(results: list[Result]) -> str:
    if MORE:
        return f"{results[0].driver}, seed {SEED}\n{table(results)}"
    found = ", ".join(f"{number} {name}" for name, number in counts(results).most_common())
    return f"{results[0].driver}: {len(results)} rounds, {found}"
