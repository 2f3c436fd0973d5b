"""Accessibility: axe, small screens, large targets, light and dark."""

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, Route, expect

from playwright_tests.conftest import BOTH_BROWSERS, REPOSITORY, ChatPage
from playwright_tests.in_page import in_page

TESTED_IN = BOTH_BROWSERS

AXE = (REPOSITORY / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
SCREENSHOTS = REPOSITORY / "test-results" / "screenshots"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = {"wide": 1000, "narrow": 320}

CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": "What can you write? " + "Averylongwordwithoutanyplacetobreak" * 4},
    {
        "role": "assistant",
        "content": "## Several things\n\nA *paragraph* with `code` and [a link](https://example.org/).\n\n"
        "1. one\n2. two\n\n> a quotation\n\n```python\nprint('a line of code that is wider than the screen')\n```\n\n"
        "| what | how many |\n| --- | --- |\n| apples | 3 |\n",
        "toolCalls": [{"name": "get_weather", "arguments": 'city:<|"|>Oslo<|"|>'}],
    },
]


def violations(page: Page) -> list[str]:
    page.evaluate(AXE)
    result: dict[str, Any] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


def overflow(page: Page) -> int:
    """Return the pixels by which the page is wider than its window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


def small_targets(page: Page) -> list[str]:
    """Return the pressable elements smaller than 44 pixels; links in running text may be smaller."""
    small: list[str] = page.evaluate(in_page("element.smallTargets"))
    return small


def check(chat_page: ChatPage, name: str, scheme: Literal["light", "dark"]) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page = chat_page.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for size, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{scheme}-{size}.png")
        assert violations(page) == [], f"{name}, {scheme}, {size}"
        assert overflow(page) == 0, f"{name}, {scheme}, {size}"
        assert small_targets(page) == [], f"{name}, {scheme}, {size}"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_before_loading(chat_page: ChatPage, served: str, scheme: Literal["light", "dark"]) -> None:
    chat_page.open(served)
    chat_page.chat.locator("[part=facts]").get_by_text("to download").wait_for()
    check(chat_page, "gate", scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_error(chat_page: ChatPage, served: str, scheme: Literal["light", "dark"]) -> None:
    chat_page.open(served + "example.html")
    chat_page.page.evaluate("document.querySelector('gemtab-chat').src = 'bundles/nothing-here/'")
    chat_page.wait_for_state("error")
    check(chat_page, "error", scheme)


def test_the_end_stays_in_view_unless_the_reader_leaves_it(demo: ChatPage) -> None:
    """Also when the window becomes smaller, for example by a keyboard on the screen."""

    def below() -> int:
        pixels: int = demo.log.evaluate("log => Math.round(log.scrollHeight - log.scrollTop - log.clientHeight)")
        return pixels

    demo.page.set_viewport_size({"width": 1000, "height": 800})
    demo.restart(CONVERSATION)
    demo.say("Hello!")
    demo.ended()
    assert below() <= 1
    demo.page.set_viewport_size({"width": 320, "height": 700})
    demo.page.wait_for_timeout(200)
    assert below() <= 1
    demo.log.evaluate("log => { log.scrollTop = 0 }")
    demo.page.set_viewport_size({"width": 320, "height": 600})
    demo.page.wait_for_timeout(200)
    assert below() > 100


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_the_load_button_stays_where_it_is(chat_page: ChatPage, served: str, width: int) -> None:
    """A visitor would miss a button that moves when the text above it appears."""
    held: list[Route] = []
    chat_page.page.set_viewport_size({"width": width, "height": 700})
    chat_page.page.route("**/bundles/tiny/gemtab.json", lambda route: held.append(route))
    chat_page.open(served + "example.html")
    facts = chat_page.chat.locator("[part=facts]")
    expect(facts).to_have_text("Looking at the model…")
    before = chat_page.load_button.bounding_box()
    while not held:
        chat_page.page.wait_for_timeout(20)
    for route in held:
        route.continue_()
    expect(facts).to_contain_text("MB to download")
    expect(chat_page.notice).to_contain_text("A software renderer runs the model")
    assert chat_page.load_button.bounding_box() == before


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_conversation(demo: ChatPage, scheme: Literal["light", "dark"]) -> None:
    demo.restart(CONVERSATION)
    demo.say("Hello!")
    demo.ended()
    check(demo, "conversation", scheme)
    demo.log.evaluate("log => { log.scrollTop = 0 }")
    demo.page.screenshot(path=SCREENSHOTS / f"conversation-{scheme}-narrow-top.png")
    demo.page.set_viewport_size({"width": 1000, "height": 800})
    demo.log.evaluate("log => { log.scrollTop = 0 }")
    demo.page.screenshot(path=SCREENSHOTS / f"conversation-{scheme}-wide-top.png")
