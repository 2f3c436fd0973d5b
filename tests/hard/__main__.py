"""`python -m tests.hard DRIVER`: attacks from the command line, and single rounds again.

DRIVER is node, chromium, inspect, fit, run, serve, verify, publish or export. `--replay SEED:ROUND` makes one mutant
anew, uses it and reports its location.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.hard.attack import Driver, attack
from tests.hard.bundle import make, make_checkpoint, make_cut
from tests.hard.chromium import Chromium
from tests.hard.commands import COMMANDS, Commands, Forks
from tests.hard.draw import Round
from tests.hard.outcomes import Result, distinct, table
from tests.hard.tab import BUILT, Tab, build

MAKE = {"verify": make, "export": make_checkpoint}
"""The input to damage, for commands that need more than a truncated bundle."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hard", description=__doc__)
    parser.add_argument("driver", choices=["node", "chromium", *COMMANDS])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--kind", help="only rounds whose kind contains this")
    parser.add_argument("--replay", metavar="SEED:ROUND", help="one round; its mutant is kept")
    parser.add_argument("--bundle", type=Path, help="folder to spoil, made where it is not there")
    parser.add_argument("--limit", type=float, default=8.0, help="seconds until Stop, in Node")
    parser.add_argument("--save", type=Path, help="file to which results are added, a line of JSON each")
    options = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bundle = options.bundle or scratch / "bundle"
        if not bundle.exists():
            MAKE.get(options.driver, make_cut)(bundle)
        driver = _driver(options.driver, bundle.parent, options.limit, stack)
        if options.replay:
            _replay(driver, bundle, options.replay)
            return
        rounds = [one for one in _rounds(options, driver.deck) if not options.kind or options.kind in one.kind]
        results = attack(driver, bundle, rounds, partial(_report, options.save))
    print(table(results))  # noqa: T201
    print(*(result.line for result in distinct(results)), sep="\n")  # noqa: T201


def _rounds(options: argparse.Namespace, deck: str) -> Iterator[Round]:
    return (Round(options.seed, options.first + number, deck) for number in range(options.rounds))


def _driver(name: str, bundles: Path, limit: float, stack: ExitStack) -> Driver:
    if name == "node":
        return stack.enter_context(Tab(build(BUILT), limit))
    if name == "chromium":
        playwright = stack.enter_context(sync_playwright())
        return stack.enter_context(Chromium(playwright, build(BUILT), bundles, limit))
    return Commands(name, stack.enter_context(Forks()))


def _report(save: Path | None, result: Result) -> None:
    if save:
        record = {"driver": result.driver, **asdict(result.round), "kind": result.round.kind, **asdict(result.outcome)}
        with save.open("a") as file:
            file.write(json.dumps(record) + "\n")
    if result.failed:
        print(result.line, flush=True)  # noqa: T201


def _replay(driver: Driver, bundle: Path, name: str) -> None:
    seed, number = map(int, name.split(":"))
    one = Round(seed, number, driver.deck)
    place = one.mutant(bundle).write(Path(tempfile.mkdtemp(dir=bundle.parent)) / "mutant")
    outcome = driver.use(place)
    print(f"{one.kind}: {place}\n{outcome.outcome} {outcome.name} ({outcome.seconds:.1f} s)\n{outcome.message}")  # noqa: T201


if __name__ == "__main__":
    main()
