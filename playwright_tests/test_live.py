"""The development server swaps a changed shader in the open tab; weights and conversation stay."""

import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from playwright_tests.conftest import ChatPage
from playwright_tests.serving import serving

SHADER = "shaders/maxima.wgsl"
LARGEST = "mine = better(mine, vec2(order_key(logits[id]), id));"
SMALLEST = "mine = better(mine, vec2(order_key(-logits[id]), id));"

QUESTION = "Hello!"


def answer(demo: ChatPage) -> list[int]:
    """Return the ids of a new conversation's first answer."""
    demo.restart()
    demo.say(QUESTION, maxTokens=4)
    ids: list[int] = demo.ended()["ids"]
    return ids


def edit(demo: ChatPage, shader: Path, text: str) -> dict[str, Any]:
    """Write a shader of the served bundle, and wait until the tab gets it."""
    swapped = demo.page.evaluate_handle(
        """() => ({ swap: new Promise(resolve => document.addEventListener('shaderswap',
             ({ detail }) => resolve(detail), { once: true })) })"""
    )
    shader.write_text(text, encoding="utf-8")
    detail: dict[str, Any] = swapped.evaluate("({ swap }) => swap")
    return detail


def test_a_changed_shader_is_swapped(browser: Browser, bundles: dict[str, Path], tmp_path: Path) -> None:
    bundle = tmp_path / "edited"
    shutil.copytree(bundles["tiny"], bundle)
    shader = bundle / SHADER
    original = shader.read_text(encoding="utf-8")
    assert LARGEST in original
    with serving({"edited": bundle}) as site:
        demo = ChatPage(browser.new_page())
        demo.open(site)
        demo.set_options()
        demo.load()
        best = answer(demo)
        requests: list[str] = []
        demo.page.on("request", lambda request: requests.append(request.url))

        assert edit(demo, shader, original.replace(LARGEST, SMALLEST))["file"] == SHADER
        worst = answer(demo)
        assert worst[0] != best[0]

        # A shader that does not compile is reported, and the one before stays in use.
        edit(demo, shader, original.replace(LARGEST, "mine = nonsense;"))
        assert answer(demo) == worst
        assert any("maxima" in error and "nonsense" in error for error in demo.watched.errors), demo.watched.errors

        edit(demo, shader, original)
        assert answer(demo) == best
        # Neither the page nor any part of the model was fetched again.
        assert requests == []
        expect(demo.answers).to_have_count(1)
        demo.page.close()
