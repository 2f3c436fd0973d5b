"""From the open page to the first answer."""

import gzip
import json
import math
import shutil
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from playwright_tests.conftest import BOTH_BROWSERS, TINY, ChatPage, run_gemtab
from playwright_tests.in_page import in_page
from playwright_tests.serving import serving

TESTED_IN = BOTH_BROWSERS

BUDGET = 80_000
"""Maximum bytes of script, compressed, that a page needs before the first token."""

WITH_THE_FIRST_TOKEN = "gemtab-whole-"
"""The script that shows Markdown, which is loaded with the first text of an answer."""


def test_the_page_says_what_it_will_load_before_it_does(chat_page: ChatPage, served: str) -> None:
    chat_page.open(served)
    chat_page.page.locator("#bundle").select_option("bundles/tiny/")
    facts = chat_page.chat.locator("[part=facts]")
    expect(facts).to_contain_text("MB to download")
    expect(facts).to_contain_text("nothing you write leaves this device")
    expect(facts).to_contain_text("software, runs on the CPU")
    assert chat_page.watched.errors == []


def test_the_first_answer_streams(demo: ChatPage) -> None:
    demo.say("Hello!")
    answer = demo.ended()
    tokens = demo.recorded("token")
    assert len(tokens) > 1
    assert "".join(token["text"] for token in tokens if token["type"] == "text") == answer["text"] != ""
    assert [state["state"] for state in demo.recorded("statechange")] == ["answering", "ready"]
    stats = demo.answers.last.locator("[part=stats]")
    expect(stats).to_contain_text("tokens/s")
    expect(stats).to_contain_text("first token after")
    expect(stats).to_contain_text(f"context {answer['stats']['contextUsed']} of")
    expect(demo.chat.locator("[part=gpu]")).to_contain_text("software")
    expect(demo.field).to_be_focused()


def test_nothing_was_reported_to_the_console(demo: ChatPage) -> None:
    """No error and no violation of the content security policy during load and conversation."""
    # Other tests of the same page provoke errors.
    before = len(demo.watched.errors)
    demo.say("Hello!")
    demo.ended()
    assert demo.errors_of_loading == []
    assert demo.watched.errors[before:] == []


@pytest.fixture(scope="module")
def verified(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `tiny` that was compared with its checkpoint."""
    bundle = Path(shutil.copytree(bundles["tiny"], tmp_path_factory.mktemp("verified") / "verified"))
    run_gemtab("verify", bundle, "--checkpoint", TINY)
    return bundle


def test_the_page_says_how_exact_the_bundle_is(chat_page: ChatPage, verified: Path, tested: Browser) -> None:
    """The running plan is the f16 one where the browser has f16: in Firefox, not in Chromium."""
    parity = json.loads((verified / "parity.json").read_text())
    plan = "webgpu f16" if tested.browser_type.name == "firefox" else "webgpu f32"
    here = {c["against"]: c["top1"] for c in parity["comparisons"] if c["backend"] == plan}
    assert here["stored weights"] == 1
    with serving({"verified": verified}) as site:
        chat_page.open(site)
        chat_page.load()
    sentence = chat_page.page.locator("#parity")
    expect(sentence).to_contain_text(f"over {parity['steps']} tokens")
    expect(sentence).to_contain_text("100 % of the tokens that the bundle's own weights would")
    share = math.floor(here["checkpoint"] * 1000) / 10
    expect(sentence).to_contain_text(f"{share:g} % of the tokens that the original checkpoint would")


def test_the_script_needed_before_the_first_token_is_small(demo: ChatPage, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for url in sorted(set(demo.watched.scripts)):
        with urllib.request.urlopen(url) as response:
            content = response.read()
        assert b"\0asm" not in content and b"WebAssembly" not in content, f"{url} contains wasm"
        sizes[url.rsplit("/", 1)[1]] = len(gzip.compress(content, 9))
    workers = [name for name in sizes if name.startswith("gemtab-worker")]
    assert len(workers) == 1, "the worker's script was not seen, or that for media was"
    assert len([name for name in sizes if name.startswith(WITH_THE_FIRST_TOKEN)]) == 1
    sizes = {name: size for name, size in sizes.items() if not name.startswith(WITH_THE_FIRST_TOKEN)}
    with capsys.disabled():
        total = f"{sum(sizes.values()):,} bytes gzip of {BUDGET:,} allowed"
        print(f"\nscript before the first token: {total}: {sizes}")  # noqa: T201
    assert sum(sizes.values()) <= BUDGET


def test_the_example_page_embeds_by_one_script(chat_page: ChatPage, served: str) -> None:
    chat_page.open(served + "example.html")
    scripts = chat_page.page.locator("script")
    assert scripts.count() == 1
    assert scripts.get_attribute("src") == "./gemtab-chat.js"
    expect(chat_page.load_button).to_be_visible()
    expect(chat_page.chat.locator("[part=facts]")).to_contain_text("MB to download")
    assert chat_page.watched.errors == []


def test_nothing_can_be_loaded_before_a_bundle_is_named(chat_page: ChatPage, served: str) -> None:
    """The demo page first requests the list of bundles; a click before the reply would load nothing."""
    held: list[Route] = []
    chat_page.page.route("**/bundles/index.json", lambda route: held.append(route))
    with chat_page.page.expect_request("**/bundles/index.json"):
        chat_page.page.goto(served, wait_until="commit")
    expect(chat_page.load_button).to_be_disabled()
    held[0].continue_()
    expect(chat_page.load_button).to_be_enabled()
    expect(chat_page.chat.locator("[part=facts]")).to_contain_text("MB to download")


def test_loading_can_be_cancelled_and_begun_again(chat_page: ChatPage, served: str) -> None:
    chat_page.open(served + "example.html")
    chat_page.set_options()
    expect(chat_page.load_button).to_be_visible()
    # In one call: loading may end before a second click from outside.
    chat_page.page.evaluate(in_page("element.loadAndCancel"))
    chat_page.wait_for_state("idle")
    assert chat_page.recorded("error") == []
    stages = {progress["stage"] for progress in chat_page.recorded("progress")}
    assert "manifest" in stages and "ready" not in stages
    expect(chat_page.load_button).to_be_enabled()
