"""Bundles of every case, and the table that is printed at the end."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from gemtab.bundle.digest import SLICE_BYTES
from gemtab.export import export_bundle
from playwright_tests.identity.models import SMALL_BINDINGS, Case
from playwright_tests.serving import serving
from tests.silent import Silent


@dataclass
class IdentityTable:
    """Near-ties and steps by backend over all cases."""

    steps: int = 0
    ties: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, length: int, steps: int, ties: Mapping[str, int]) -> str:
        """Counts a conversation of `length` tokens with so many greedy steps, and gives its line."""
        self.steps += steps
        self.ties.update(ties)
        cells = [f"{backend} {steps - count}/{steps} ({count})" for backend, count in ties.items()]
        return f"{name:26} {length:5} tokens  " + "   ".join(cells)


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Path]:
    """The bundle of a case, exported once."""
    folder = tmp_path_factory.mktemp("identity")

    @cache
    def export(case: Case) -> Path:
        slice_bytes = SMALL_BINDINGS if case.small else SLICE_BYTES
        source, out = case.source(folder / "checkpoints"), folder / case.name
        options = (case.weights, case.context, False, Silent())
        # Towers have values that cannot be in pieces so small.
        inputs = ["text"] if case.small else None
        export_bundle(source, out, *options, inputs=inputs, limits=case.limits, slice_bytes=slice_bytes)
        return out

    return export


@pytest.fixture(scope="module")
def identity_bundles(request: pytest.FixtureRequest, bundle_of: Callable[[Case], Path]) -> dict[str, Path]:
    """The bundles of the module's CASES, by name."""
    return {case.name: bundle_of(case) for case in request.module.CASES}


@pytest.fixture(scope="module")
def identity_site(identity_bundles: dict[str, Path]) -> Iterator[str]:
    """The address of a server with all of them."""
    with serving(identity_bundles) as site:
        yield site


@pytest.fixture(scope="module")
def identity_table() -> IdentityTable:
    """The table of the module's cases so far."""
    return IdentityTable()
