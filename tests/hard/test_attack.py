"""No bundle, host or lost GPU hangs gemtab, fools it or crashes it: seeded mutants against all that reads bundles.

`GEMTAB_ROUNDS=600 pytest tests/hard` makes so many rounds for each driver, of a new seed, which the table names; so
does `make soak`. A line of a failure tells how to see that one round again.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hard.attack import Driver, attack
from tests.hard.bundle import make_cut
from tests.hard.commands import Commands
from tests.hard.draw import Round
from tests.hard.kinds import KINDS
from tests.hard.outcomes import Result, counts, distinct, table
from tests.hard.tab import BUILT, Tab, build

MORE = int(os.environ.get("GEMTAB_ROUNDS", "0"))
SEED = random.randrange(1000, 1_000_000) if MORE else 0

ROUNDS = {"node": 60, "inspect": 120, "run": 60, "serve": 30, "publish": 30}
"""In `make test`."""


@pytest.fixture(scope="session")
def seed_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cut(tmp_path_factory.mktemp("hard") / "bundle")


@pytest.fixture(scope="session")
def scripts() -> Path:
    return build(BUILT)


def attacked(driver: Driver, bundle: Path, rounds: int) -> str:
    """Attacks, and returns the table. Fails where anything failed."""
    numbers = range(MORE or rounds)
    results = attack(driver, bundle, [Round(SEED, number) for number in numbers])
    failures = distinct(results)
    assert not failures, f"{_summary(results)}\n" + "\n".join(result.line for result in failures)
    return _summary(results)


def _summary(results: list[Result]) -> str:
    if MORE:
        return f"{results[0].driver}, seed {SEED}\n{table(results)}"
    return f"{results[0].driver}: {len(results)} rounds, " + ", ".join(
        f"{n} {one}" for one, n in counts(results).items()
    )


def test_each_round_is_the_same_each_time(seed_bundle: Path) -> None:
    for number in range(len(KINDS)):
        first, second = (Round(7, number).mutant(seed_bundle) for _ in range(2))
        assert first == second


def test_each_kind_comes_once_in_as_many_rounds_as_there_are_kinds() -> None:
    for block in range(3):
        drawn = [Round(7, block * len(KINDS) + at).kind for at in range(len(KINDS))]
        assert sorted(drawn) == sorted(KINDS)


def test_what_nobody_spoilt_is_accepted(seed_bundle: Path, scripts: Path) -> None:
    with Tab(scripts, limit=60) as tab, Commands("run") as run:
        assert {driver.use(seed_bundle).outcome for driver in (tab, run)} == {"accepted"}


@pytest.mark.parametrize("command", [name for name in ROUNDS if name != "node"])
def test_commands(command: str, seed_bundle: Path, record_property: Callable[[str, object], None]) -> None:
    with Commands(command) as driver:
        record_property("attack", attacked(driver, seed_bundle, ROUNDS[command]))


def test_tab(seed_bundle: Path, scripts: Path, record_property: Callable[[str, object], None]) -> None:
    with Tab(scripts) as driver:
        record_property("attack", attacked(driver, seed_bundle, ROUNDS["node"]))
