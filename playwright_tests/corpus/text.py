"""The tab's text code in real browsers."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route

REPOSITORY = Path(__file__).parents[2]
VITE = REPOSITORY / "node_modules" / "vite" / "bin" / "vite.js"
CONFIG = Path(__file__).with_name("text.vite.config.ts")
BATCH = 500
ORIGIN = "http://text.test/"

CALL = "async ({ name, chat, json }) => (await import('/text.js'))[name](chat, json)"


def build(out: Path) -> None:
    """Write text.js into `out`."""
    subprocess.run(["node", VITE, "build", "--config", CONFIG, "--outDir", out, "--emptyOutDir"], check=True)


class TabText:
    """The functions of text-entry.ts. An empty page runs them, in batches."""

    def __init__(self, page: Page, folder: Path) -> None:
        script = (folder / "text.js").read_text(encoding="utf-8")

        def answer(route: Route) -> None:
            is_script = route.request.url.endswith(".js")
            kind = "text/javascript" if is_script else "text/html"
            route.fulfill(content_type=f"{kind}; charset=utf-8", body=script if is_script else "")

        page.route(ORIGIN + "**", answer)
        page.goto(ORIGIN)
        self._page = page

    def call(self, name: str, chat: dict[str, Any], inputs: Sequence[Any]) -> list[Any]:
        """Return the function's results for the inputs. chat: tokenizer, config and template."""
        found: list[Any] = []
        for start in range(0, len(inputs), BATCH):
            given = {"name": name, "chat": chat, "json": json.dumps(inputs[start : start + BATCH])}
            found += self._page.evaluate(CALL, given)
        return found


class Tabs:
    """The functions in several browsers."""

    def __init__(self, tabs: dict[str, TabText]) -> None:
        self._tabs = tabs

    def call(self, name: str, chat: dict[str, Any], inputs: Sequence[Any]) -> dict[str, list[Any]]:
        """Return the results by browser."""
        return {browser: tab.call(name, chat, inputs) for browser, tab in self._tabs.items()}
