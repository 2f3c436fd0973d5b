"""The Firefox of the tests, and its start: the released browser, by WebDriver BiDi."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright

PREFERENCES = {
    # Off where the release has no WebGPU on this system yet, or knows no hardware GPU.
    "dom.webgpu.enabled": True,
    "dom.webgpu.workers.enabled": True,
    "gfx.webgpu.ignore-blocklist": True,
    # A fake camera and a fake microphone, allowed without a question.
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
}

NOT_FOUND = "No Firefox was found. Install it (apt install firefox-esr) or set FIREFOX to its path."


def find_firefox() -> str | None:
    """Return the browser's path: $FIREFOX, or the first on the path."""
    names = [os.environ.get("FIREFOX", ""), "firefox-esr", "firefox"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


@contextmanager
def launched(playwright: Playwright) -> Iterator[Browser]:
    """Yield the running browser. The test fails where there is none."""
    path = find_firefox()
    if path is None:
        pytest.fail(NOT_FOUND)
    # Vulkan's software driver needs the name of this folder; any folder works.
    environment: dict[str, str | float | bool] = {"XDG_RUNTIME_DIR": tempfile.gettempdir(), **os.environ}
    # The channel means that the browser is not Playwright's own build.
    options: dict[str, Any] = {"channel": "moz-firefox", "executable_path": path, "firefox_user_prefs": PREFERENCES}
    browser = playwright.firefox.launch(headless=True, env=environment, **options)
    yield browser
    browser.close()
