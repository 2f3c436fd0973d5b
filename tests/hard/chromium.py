"""A page in Chromium that uses bundles by the built site's own scripts."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from playwright.sync_api import Browser, Error, Page, Playwright

from gemtab import resources
from playwright_tests.chromium import NOT_FOUND, SOFTWARE_GPU, UNCLEARED, find_chromium, launch_options
from playwright_tests.in_page import in_page
from tests.hard.outcomes import Outcome
from tests.hard.tab import GRACE


class Chromium:
    """Uses bundles below a folder as `Tab` does, each in a page of its own."""

    name = "chromium"
    deck = "browser"

    def __init__(
        self, playwright: Playwright, scripts: Path, bundles: Path, limit: float = 12.0, grace: float = GRACE
    ) -> None:
        self._playwright = playwright
        self._limit = limit
        self._grace = grace
        self._bundles = bundles
        self._command: list[str | Path] = ["node", scripts / "static.mjs", resources.site(), scripts, bundles]
        (scripts / "index.html").write_text("<!doctype html><title>A page</title>")
        self._stack = contextlib.ExitStack()
        self._browser: Browser | None = None

    def __enter__(self) -> Self:
        host = self._stack.enter_context(subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True))
        self._stack.callback(host.kill)
        assert host.stdout
        self._site = host.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._stack.close()

    def use(self, bundle: Path) -> Outcome:
        """Loads a bundle and says a word to it."""
        address = f"{self._site}bundles/{bundle.relative_to(self._bundles)}/"
        order = {"url": address, "limit": 1000 * self._limit, "grace": 1000 * self._grace}
        started = time.monotonic()
        with self._page() as page:
            page.set_default_timeout(1000 * (self._limit + self._grace + 20))
            try:
                page.goto(self._site)
                found = page.evaluate(in_page("hard.visitOnce"), order)
            except Error as error:
                found = {"outcome": "crash", "name": "page", "message": error.message}
        seconds = time.monotonic() - started
        # Work that still runs on the GPU would slow down the next round.
        if found["outcome"] in ("hang", "stopped", "crash"):
            self._end()
        return Outcome(found["outcome"], found["name"], found["message"], seconds)

    @contextlib.contextmanager
    def _page(self) -> Iterator[Page]:
        if self._browser is None:
            chromium = find_chromium()
            assert chromium, NOT_FOUND
            self._browser = self._playwright.chromium.launch(**launch_options(chromium, SOFTWARE_GPU, UNCLEARED))
        page = self._browser.new_page()
        yield page
        with contextlib.suppress(Error):
            page.close()

    def _end(self) -> None:
        if self._browser:
            with contextlib.suppress(Error):
                self._browser.close()
        self._browser = None
