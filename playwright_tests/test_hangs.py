"""Bundles with endless work: the page is free within a second, and reports the loss."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserType, Page, expect

from gemtab.bundle.manifest import MANIFEST_NAME
from playwright_tests.conftest import ChatPage
from playwright_tests.in_page import in_page
from playwright_tests.serving import serving

CATASTROPHE = "(?:[ab]+)+c"
"""An expression that takes 2^n steps for n letters without a c."""

LETTERS = "a" * 60

FREE_MS = 1000
"""Maximum milliseconds until a page is free after a stop."""

ENDED_MS = 5000 + 2000
"""Milliseconds after which a worker with one model is certainly ended."""


def rewrite(bundle: Path, file: str, content: str) -> None:
    """Replace a file's content; digests are correct."""
    data = content.encode()
    (bundle / file).write_bytes(data)
    manifest = json.loads((bundle / MANIFEST_NAME).read_text())
    digest = hashlib.sha256(data).hexdigest()
    manifest["files"][file] = {"bytes": len(data), "slice_bytes": max(1, len(data)), "sha256": [digest]}
    (bundle / MANIFEST_NAME).write_text(json.dumps(manifest))


def never_reading(bundle: Path) -> None:
    """Give the bundle a tokenizer that never ends on LETTERS."""
    tokenizer = json.loads((bundle / "tokenizer.json").read_text())
    split = {"type": "Split", "pattern": {"Regex": CATASTROPHE}, "behavior": "Isolated", "invert": False}
    tokenizer["pre_tokenizer"] = split
    rewrite(bundle, "tokenizer.json", json.dumps(tokenizer))


def never_sampling(bundle: Path) -> None:
    """Give the bundle a kernel that never ends."""
    text = (bundle / "shaders/maxima.wgsl").read_text()
    head, brace, body = text.partition("fn main(")
    arguments, opening, rest = body.partition("{")
    forever = "for (var i = 0u; i < 0xffffffffu; i++) { for (var j = 0u; j < 0xffffffffu; j++) { storageBarrier(); } }"
    rewrite(bundle, "shaders/maxima.wgsl", head + brace + arguments + opening + forever + rest)


@pytest.fixture(scope="module")
def hanging(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a site with bundles that hang, and `tiny`."""
    folder = tmp_path_factory.mktemp("hanging")
    copies = {"reading": never_reading, "sampling": never_sampling}
    for name, change in copies.items():
        shutil.copytree(bundles["tiny"], folder / name)
        change(folder / name)
    with serving({"tiny": bundles["tiny"], **{name: folder / name for name in copies}}) as site:
        yield site


def open_with(chat_page: ChatPage, site: str, bundle: str) -> None:
    chat_page.open(site + "example.html")
    chat_page.set_options()
    choose(chat_page, bundle)


def choose(chat_page: ChatPage, bundle: str) -> None:
    chat_page.page.evaluate("src => { document.querySelector('gemtab-chat').src = src }", f"bundles/{bundle}/")


def free_after(page: Page, action: str) -> tuple[Any, float]:
    """Return the result of `action` on `chat`, and its duration in milliseconds."""
    found, took = page.evaluate(f"() => ({in_page('element.timed')})(async chat => {{ {action} }})")
    return found, took


class TestAnExpressionThatNeverEnds:
    def test_is_stopped_at_once_and_the_worker_is_ended(self, chat_page: ChatPage, hanging: str) -> None:
        open_with(chat_page, hanging, "reading")
        chat_page.load()
        chat_page.say(LETTERS)
        chat_page.wait_for_state("answering")
        chat_page.page.wait_for_timeout(300)
        stopped = "chat.stop(); await new Promise(done => chat.addEventListener('stop', done, { once: true }));"
        found, took = free_after(chat_page.page, f"{stopped} return [chat.state, chat.messages.length]")
        assert found == ["ready", 1]
        assert took < FREE_MS
        chat_page.page.wait_for_timeout(ENDED_MS)
        [error] = chat_page.recorded("error")
        assert error["name"] == "DeviceError"
        assert "did not stop within 5 seconds" in error["message"]
        assert "bundles/reading/" in error["message"]
        expect(chat_page.notice).to_have_text(error["message"])

    def test_hinders_neither_another_conversation_nor_disposal(self, chat_page: ChatPage, hanging: str) -> None:
        open_with(chat_page, hanging, "reading")
        chat_page.load()
        chat_page.say(LETTERS)
        chat_page.wait_for_state("answering")
        found, took = free_after(chat_page.page, "await chat.reset(); return [chat.state, chat.messages.length]")
        assert found == ["ready", 0]
        assert took < FREE_MS
        found, took = free_after(chat_page.page, "await chat.dispose(); return chat.state")
        assert found == "idle"
        assert took < FREE_MS
        choose(chat_page, "tiny")
        chat_page.load()
        chat_page.say("Hello!")
        assert chat_page.ended()["finish"] in ("stop", "length")


def test_a_kernel_that_never_ends_is_named_to_the_next_load(
    browser_type: BrowserType, browser_type_launch_args: dict[str, Any], hanging: str
) -> None:
    """In its own browser, whose GPU process is unusable afterwards."""
    browser: Browser = browser_type.launch(**browser_type_launch_args)
    chat_page = ChatPage(browser.new_page())
    open_with(chat_page, hanging, "sampling")
    chat_page.load()
    chat_page.say("Hello!")
    chat_page.wait_for_state("answering")
    chat_page.page.wait_for_timeout(1500)
    stopped = "chat.stop(); await new Promise(done => chat.addEventListener('stop', done, { once: true }));"
    found, took = free_after(chat_page.page, f"{stopped} return chat.state")
    assert found == "ready"
    assert took < FREE_MS
    chat_page.page.wait_for_timeout(ENDED_MS)
    [error] = chat_page.recorded("error")
    assert "did not stop within 5 seconds" in error["message"]
    chat_page.set_options()
    choose(chat_page, "tiny")
    chat_page.page.evaluate("document.querySelector('gemtab-chat').load().catch(() => undefined)")
    chat_page.wait_for_state("error")
    message = chat_page.recorded("error")[-1]["message"]
    assert "has not answered for" in message and "GPU process" in message
    assert "bundles/sampling/" in message
    browser.close()
