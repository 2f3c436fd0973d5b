"""The tab's media code, in a worker of a real browser."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from playwright_tests.in_page import in_page, script
from playwright_tests.serving import serving

POLICY = "default-src 'self'"
"""A policy as strict as the site's own."""

ARRAYS = {"Float32Array": np.float32, "Uint32Array": np.uint32, "Int32Array": np.int32, "Uint8Array": np.uint8}


class ScriptError(Exception):
    """An error of the script. `name` is its class."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Media:
    """Calls functions of webruntime/src/input/media.ts, each in its own worker."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def in_firefox(self) -> bool:
        browser = self.page.context.browser
        return browser is not None and browser.browser_type.name == "firefox"

    def call(self, function: str, content: bytes = b"", **args: Any) -> Any:
        """Return the result of a function of media-worker.ts for `args` and a file with this content; typed arrays
        become numpy's.

        The file's name is `args["name"]`. Raises ScriptError for the function's error.
        """
        given = [function, args, base64.b64encode(content).decode()]
        answer = self.page.evaluate(in_page("media.call"), given)
        if "error" in answer:
            raise ScriptError(answer["error"], answer["message"])
        return unpacked(answer["value"])


def unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return np.frombuffer(base64.b64decode(value["base64"]), ARRAYS[value["array"]])
    return {key: unpacked(each) for key, each in value.items()}


@pytest.fixture(scope="session", autouse=True)
def adapter() -> None:
    """Nothing here uses WebGPU: neither an adapter nor a bundle is needed."""


@contextmanager
def opened(browser: Browser) -> Iterator[Media]:
    """A page that calls the module in `browser`."""
    with serving({}) as site:
        page = browser.new_page()
        headers = {"content-type": "text/javascript; charset=utf-8", "content-security-policy": POLICY}
        page.route("**/media-test-worker.js", lambda route: route.fulfill(headers=headers, body=script("media-worker")))
        # An empty page: the site's own page reloads itself whenever the site is built.
        page.route("**/media-test.html", lambda route: route.fulfill(content_type="text/html", body=""))
        page.goto(site + "media-test.html")
        yield Media(page)
        page.close()


@pytest.fixture(scope="session")
def media(tested: Browser) -> Iterator[Media]:
    with opened(tested) as found:
        yield found


@pytest.fixture(scope="session")
def firefox_media(firefox: Browser) -> Iterator[Media]:
    """The same in Firefox, for tests that compare browsers."""
    with opened(firefox) as found:
        yield found
