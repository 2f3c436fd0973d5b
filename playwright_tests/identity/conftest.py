"""Bundles of all cases, and the table that is printed at the end."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from gemtab.bundle.digest import SLICE_BYTES
from gemtab.export import export_bundle
from playwright_tests.conftest import SharedFolders
from playwright_tests.identity.models import SMALL_BINDINGS, Case
from playwright_tests.serving import serving
from tests.silent import Silent
from tests.variants import TINY, tiny_coded, variant


@dataclass(frozen=True)
class Tabs:
    """A tab of each browser."""

    chromium: Page
    firefox: Page


@pytest.fixture
def tabs(page: Page, firefox: Browser) -> Iterator[Tabs]:
    """The tabs of one test."""
    other = firefox.new_page()
    yield Tabs(page, other)
    other.close()


@dataclass
class IdentityTable:
    """Near-ties and steps by backend, over all cases."""

    steps: int = 0
    ties: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, length: int, steps: int, ties: Mapping[str, int], counted: bool = True) -> str:
        """Count a conversation of `length` tokens and its greedy steps. Returns its line."""
        if counted:
            self.steps += steps
            self.ties.update(ties)
        cells = [f"{backend} {steps - count}/{steps} ({count})" for backend, count in ties.items()]
        return f"{name:26} {length:5} tokens  " + "   ".join(cells)


@pytest.fixture(scope="session")
def source_of(shared_folders: SharedFolders) -> Callable[[Case], Path]:
    """Return the checkpoint of a case: models/tiny itself, or a variant."""

    def source(case: Case) -> Path:
        if case.model == "tiny":
            return TINY
        make = tiny_coded if case.model == "tiny_coded" else partial(variant, case.model, with_tokenizer=True)
        return shared_folders.folder(f"checkpoint-{case.model}", make)

    return source


@pytest.fixture(scope="session")
def bundle_of(shared_folders: SharedFolders, source_of: Callable[[Case], Path]) -> Callable[[Case], Path]:
    """Return the bundle of a case."""

    def export(case: Case, out: Path) -> None:
        slice_bytes = SMALL_BINDINGS if case.small else SLICE_BYTES
        options = (case.weights, case.context, False, Silent())
        # Towers have values that cannot be split into such small pieces.
        inputs = ["text"] if case.small else None
        export_bundle(source_of(case), out, *options, inputs=inputs, limits=case.limits, slice_bytes=slice_bytes)

    return lambda case: shared_folders.folder(f"bundle-{case.name}", partial(export, case))


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
