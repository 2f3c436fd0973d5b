"""Damaged bundles and faulty hosts in Chromium, with the built site's scripts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Playwright

from tests.hard.bundle import make_cut
from tests.hard.chromium import Chromium
from tests.hard.rounds import attacked
from tests.hard.tab import BUILT, build
from tests.tables import ATTACK_LINE


@pytest.fixture(scope="session", autouse=True)
def adapter() -> None:
    """The first round requests an adapter."""


def test_tab(playwright: Playwright, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    bundle = make_cut(tmp_path / "bundle")
    with Chromium(playwright, build(BUILT / "chromium"), tmp_path) as driver:
        record_property(ATTACK_LINE, attacked(driver, bundle, range(12)))
