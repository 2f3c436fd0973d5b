"""Chromium and Firefox as in the other browser tests, and a folder for checkpoints that take minutes to make."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright

from playwright_tests.chromium import NOT_FOUND, SOFTWARE_GPU, find_chromium, launch_options
from playwright_tests.firefox import launched


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kept", type=Path, help="folder where test_true_e2b.py leaves what it makes, to use it again")


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    chromium = find_chromium()
    if chromium is None:
        pytest.fail(NOT_FOUND)
    return launch_options(chromium, SOFTWARE_GPU)


@pytest.fixture(scope="session")
def firefox(playwright: Playwright) -> Iterator[Browser]:
    with launched(playwright) as browser:
        yield browser
