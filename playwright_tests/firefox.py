"""Which Firefox is driven, and how it is started: the browser as it is released, by WebDriver BiDi."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright

PREFERENCES = {
    # Off where the release does not offer WebGPU on this system yet, or knows no hardware GPU.
    "dom.webgpu.enabled": True,
    "dom.webgpu.workers.enabled": True,
    "gfx.webgpu.ignore-blocklist": True,
    # A camera and a microphone that are not there, allowed without being asked for.
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
}

NOT_FOUND = "No Firefox was found. Install it (apt install firefox-esr) or set FIREFOX to its path."


def find_firefox() -> str | None:
    """The browser's path: $FIREFOX, or the first on the path."""
    names = [os.environ.get("FIREFOX", ""), "firefox-esr", "firefox"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


@contextmanager
def launched(playwright: Playwright) -> Iterator[Browser]:
    """The browser, running. The test fails where there is none."""
    path = find_firefox()
    if path is None:
        pytest.fail(NOT_FOUND)
    # Vulkan's software driver wants this folder to be named; any will do.
    environment: dict[str, str | float | bool] = {"XDG_RUNTIME_DIR": tempfile.gettempdir(), **os.environ}
    # The channel says that it is not Playwright's own build.
    options: dict[str, Any] = {"channel": "moz-firefox", "executable_path": path, "firefox_user_prefs": PREFERENCES}
    browser = playwright.firefox.launch(headless=True, env=environment, **options)
    yield browser
    browser.close()
