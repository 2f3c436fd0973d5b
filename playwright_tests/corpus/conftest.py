"""The size of the corpus, and browsers with the tab's text code."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser

from playwright_tests.corpus.text import Tabs, TabText, build

if TYPE_CHECKING:
    from playwright_tests.conftest import SharedFolders


@pytest.fixture(scope="session")
def drawn(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Return the number of inputs: the first number in `make test`, the second with `--corpus full`."""
    full = request.config.getoption("--corpus") == "full"
    return lambda small, large: large if full else small


@pytest.fixture(scope="session")
def tabs(browser: Browser, firefox: Browser, shared_folders: "SharedFolders") -> Iterator[Tabs]:
    """The tab's template engine, tokenizer and parser, in both browsers."""
    folder = shared_folders.folder("text", build)
    pages = {"Chromium": browser.new_page(), "Firefox": firefox.new_page()}
    yield Tabs({name: TabText(page, folder) for name, page in pages.items()})
    for page in pages.values():
        page.close()


@pytest.fixture(scope="session", autouse=True)
def adapter() -> None:
    """Nothing here uses WebGPU: neither an adapter nor a bundle is needed."""
