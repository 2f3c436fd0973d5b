"""No bundle, host or lost GPU hangs gemtab, fools it or crashes it: seeded mutants against all that reads bundles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hard.bundle import make_cut
from tests.hard.commands import Commands
from tests.hard.draw import Round
from tests.hard.kinds import KINDS
from tests.hard.rounds import attacked
from tests.hard.tab import BUILT, Tab, build
from tests.tables import ATTACK_LINE

ROUNDS = {"node": 60, "inspect": 120, "run": 60, "serve": 30, "publish": 30}
"""In `make test`."""


@pytest.fixture(scope="session")
def seed_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cut(tmp_path_factory.mktemp("hard") / "bundle")


@pytest.fixture(scope="session")
def scripts() -> Path:
    return build(BUILT)


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
        record_property(ATTACK_LINE, attacked(driver, seed_bundle, ROUNDS[command]))


def test_tab(seed_bundle: Path, scripts: Path, record_property: Callable[[str, object], None]) -> None:
    with Tab(scripts) as driver:
        record_property(ATTACK_LINE, attacked(driver, seed_bundle, ROUNDS["node"]))
