"""Bundles of every case, and the table that is printed at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from gemtab.export import export_bundle
from playwright_tests.identity.models import CASES, SMALL_BINDINGS
from playwright_tests.serving import serving

TABLE = pytest.StashKey[list[str]]()


class Silent:
    """Progress that nobody watches."""

    def begin(self, stage: str, total: int) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass


@pytest.fixture(scope="session")
def identity_bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundle of every case, by its name."""
    folder = tmp_path_factory.mktemp("identity")
    for case in CASES:
        slices = {"slice_bytes": SMALL_BINDINGS} if case.small else {}
        source, out = case.source(folder / "checkpoints"), folder / case.name
        export_bundle(source, out, case.weights, case.context, False, Silent(), limits=case.limits, **slices)
    return {case.name: folder / case.name for case in CASES}


@pytest.fixture(scope="session")
def identity_site(identity_bundles: dict[str, Path]) -> Iterator[str]:
    """The address of a server with all of them."""
    with serving(identity_bundles) as site:
        yield site


@pytest.fixture(scope="session")
def identity_table(pytestconfig: pytest.Config) -> list[str]:
    """Lines of the table, printed after the last test."""
    return pytestconfig.stash.setdefault(TABLE, [])


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(TABLE, [])
    if lines:
        terminalreporter.section("greedy tokens equal to the reference's, of those decoded (near-ties)")
        for line in lines:
            terminalreporter.write_line(line)
