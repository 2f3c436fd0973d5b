"""No bundle, host or lost GPU hangs gemtab, fools it or crashes it: seeded mutants against all that reads bundles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hard.bundle import make_cut
from tests.hard.commands import Commands
from tests.hard.draw import Round
from tests.hard.kinds import DECKS, KINDS, OFTENER
from tests.hard.rounds import attacked
from tests.hard.tab import BUILT, Tab, build
from tests.tables import ATTACK_LINE

ROUNDS = {
    "node": range(40),
    "run": range(30, 60),
    "inspect": range(100),
    "serve": range(40, 60),
    "publish": range(20, 60),
}
"""In `make test`: between them, each kind for those to whom it matters."""


@pytest.fixture(scope="session")
def seed_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cut(tmp_path_factory.mktemp("hard") / "bundle")


@pytest.fixture(scope="session")
def scripts() -> Path:
    return build(BUILT)


def test_each_round_is_the_same_each_time(seed_bundle: Path) -> None:
    for number in range(len(DECKS["all"])):
        first, second = (Round(7, number).mutant(seed_bundle) for _ in range(2))
        assert first == second


@pytest.mark.parametrize("deck", DECKS)
def test_each_kind_comes_as_often_as_the_deck_has_it(deck: str) -> None:
    places = len(DECKS[deck])
    for block in range(3):
        drawn = [Round(7, block * places + at, deck).kind for at in range(places)]
        assert tuple(sorted(drawn)) == DECKS[deck]


def test_each_kind_is_in_the_deck_of_those_who_can_see_it() -> None:
    assert set(OFTENER) <= set(KINDS)
    assert set(DECKS["all"]) == set(KINDS)
    assert {name.partition(":")[0] for name in set(KINDS) - set(DECKS["browser"])} == {"gpus"}
    assert {name.partition(":")[0] for name in set(KINDS) - set(DECKS["command"])} == {"gpus", "hosts"}
    assert {name.partition(":")[0] for name in DECKS["checkpoint"]} == {"tokenizer", "template", "configs"}


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
