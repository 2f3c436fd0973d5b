"""No bundle, host or lost GPU hangs gemtab, fools it or crashes it: seeded mutants against all that reads bundles."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hard.bundle import make_checkpoint, make_cut
from tests.hard.commands import Commands, Forks
from tests.hard.draw import Round
from tests.hard.kinds import DECKS, KINDS, OFTENER
from tests.hard.rounds import attacked
from tests.hard.tab import BUILT, Tab, build
from tests.tables import ATTACK_LINE

MODULES = {
    "run": ("shaders", "template", "tokenizer", "weights", "files"),
    "inspect": ("manifest", "plans", "files"),
    "serve": ("manifest", "shaders", "files"),
    "publish": ("weights", "configs", "files"),
}
"""Of which kinds `make test` makes a round for each command, between them of all; for the tab of all."""

FOR_EXPORT = {name for name in DECKS["checkpoint"] if not name.endswith(("growth", "endless", "syntax"))}


def first_rounds(deck: str, *modules: str) -> list[int]:
    """Numbers of the rounds that are the first of their kind."""
    kinds = [Round(0, number, deck).kind for number in range(len(DECKS[deck]))]
    return [kinds.index(kind) for kind in dict.fromkeys(kinds) if not modules or kind.partition(":")[0] in modules]


@pytest.fixture(scope="session")
def seed_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cut(tmp_path_factory.mktemp("hard") / "bundle")


@pytest.fixture(scope="session")
def scripts() -> Path:
    return build(BUILT)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks() as process:
        yield process


@pytest.fixture(scope="session")
def tab(scripts: Path) -> Iterator[Tab]:
    # Work without end takes a processor until Stop.
    with Tab(scripts, limit=3) as driver:
        yield driver


def test_each_round_is_the_same_each_time(seed_bundle: Path) -> None:
    for number in first_rounds("all"):
        first, second = (Round(7, number).mutant(seed_bundle) for _ in range(2))
        assert first == second


@pytest.mark.parametrize("deck", DECKS)
def test_each_kind_comes_as_often_as_the_deck_has_it(deck: str) -> None:
    cards = len(DECKS[deck])
    for block in range(3):
        drawn = [Round(7, block * cards + at, deck).kind for at in range(cards)]
        assert tuple(sorted(drawn)) == DECKS[deck]


def test_each_kind_is_in_the_deck_of_those_who_can_see_it() -> None:
    assert set(OFTENER) <= set(KINDS)
    assert set(DECKS["all"]) == set(KINDS)
    assert {name.partition(":")[0] for name in set(KINDS) - set(DECKS["browser"])} == {"gpus"}
    assert {name.partition(":")[0] for name in set(KINDS) - set(DECKS["command"])} == {"gpus", "hosts"}
    assert {name.partition(":")[0] for name in DECKS["checkpoint"]} == {"tokenizer", "template", "configs"}


def test_what_nobody_spoilt_is_accepted(seed_bundle: Path, tab: Tab, forks: Forks) -> None:
    assert tab.use(seed_bundle, limit=60).outcome == "accepted"
    assert Commands("run", forks).use(seed_bundle).outcome == "accepted"


@pytest.mark.parametrize("command", MODULES)
def test_commands(
    command: str, seed_bundle: Path, forks: Forks, record_property: Callable[[str, object], None]
) -> None:
    rounds = first_rounds("command", *MODULES[command])
    record_property(ATTACK_LINE, attacked(Commands(command, forks), seed_bundle, rounds))


def test_exports(tmp_path: Path, forks: Forks, record_property: Callable[[str, object], None]) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    # The others take as long as they may, in the same process as for `run`.
    rounds = [number for number in first_rounds("checkpoint") if Round(0, number, "checkpoint").kind in FOR_EXPORT]
    record_property(ATTACK_LINE, attacked(Commands("export", forks), checkpoint, rounds))


def test_tab(seed_bundle: Path, tab: Tab, record_property: Callable[[str, object], None]) -> None:
    record_property(ATTACK_LINE, attacked(tab, seed_bundle, first_rounds("all")))
