"""The tab's code that reads media, in a worker of a real browser."""

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from playwright_tests.serving import serving

if TYPE_CHECKING:
    from playwright_tests.conftest import SharedFolders

VITE = Path(__file__).parents[2] / "node_modules" / "vite" / "bin" / "vite.js"
CONFIG = Path(__file__).with_name("media.vite.config.ts")

WORKER = """
import * as media from "/media.js";

function packed(value) {
  if (Array.isArray(value)) return value.map(packed);
  if (value === null || typeof value !== "object") return value;
  if (!ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, packed(each)]));
  }
  const raw = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  let text = "";
  for (let i = 0; i < raw.length; i += 32768) text += String.fromCharCode(...raw.subarray(i, i + 32768));
  return { array: value.constructor.name, base64: btoa(text) };
}

onmessage = async ({ data: { body, args, file } }) => {
  try {
    const run = (0, eval)(body);
    postMessage({ value: packed(await run(media, args, file)) });
  } catch (error) {
    postMessage({ error: error.name, message: error.message });
  }
};
"""
"""Runs what it is sent."""

POLICY = "default-src 'self'; script-src 'self' 'unsafe-eval'; worker-src 'self'"
"""As strict as the site's own, but for what the worker needs to run what it is sent."""

PAGE = """
async ({ body, args, bytes }) => {
  const worker = new Worker("/media-test-worker.js", { type: "module" });
  const file = new File([Uint8Array.from(atob(bytes), (each) => each.charCodeAt(0))], args.name ?? "file");
  const answer = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage({ body, args, file });
  });
  worker.terminate();
  return answer;
}
"""

ARRAYS = {"Float32Array": np.float32, "Uint32Array": np.uint32, "Int32Array": np.int32, "Uint8Array": np.uint8}


class ScriptError(Exception):
    """An error of the script: `name` is its class."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Media:
    """Calls functions of webruntime/src/input/media.ts, each in a worker of its own."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def in_firefox(self) -> bool:
        browser = self.page.context.browser
        return browser is not None and browser.browser_type.name == "firefox"

    def call(self, body: str, content: bytes = b"", **args: Any) -> Any:
        """What `body`, a function of the module, `args` and a file with this content, returns; typed arrays as numpy's.

        The file is called `args["name"]`. Raises ScriptError for what it throws.
        """
        options = {"body": f"({body})", "args": args, "bytes": base64.b64encode(content).decode()}
        answer = self.page.evaluate(PAGE, options)
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
    """Nothing here touches WebGPU: neither an adapter nor a bundle is needed."""


def build(out: Path) -> None:
    """Writes media.js into `out`."""
    subprocess.run(["node", VITE, "build", "--config", CONFIG, "--outDir", out, "--emptyOutDir"], check=True)


@contextmanager
def opened(browser: Browser, folders: "SharedFolders") -> Iterator[Media]:
    """A page that calls the module in `browser`."""
    module = (folders.folder("media", build) / "media.js").read_text(encoding="utf-8")
    with serving({}) as site:
        page = browser.new_page()
        page.route(
            "**/media.js", lambda route: route.fulfill(content_type="text/javascript; charset=utf-8", body=module)
        )
        headers = {"content-type": "text/javascript", "content-security-policy": POLICY}
        page.route("**/media-test-worker.js", lambda route: route.fulfill(headers=headers, body=WORKER))
        # An empty page: the site's own would load itself anew whenever the site is built.
        page.route("**/media-test.html", lambda route: route.fulfill(content_type="text/html", body=""))
        page.goto(site + "media-test.html")
        yield Media(page)
        page.close()


@pytest.fixture(scope="session")
def media(tested: Browser, shared_folders: "SharedFolders") -> Iterator[Media]:
    with opened(tested, shared_folders) as found:
        yield found


@pytest.fixture(scope="session")
def firefox_media(firefox: Browser, shared_folders: "SharedFolders") -> Iterator[Media]:
    """In Firefox, for tests that compare browsers."""
    with opened(firefox, shared_folders) as found:
        yield found
