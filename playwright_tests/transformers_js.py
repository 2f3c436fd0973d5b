"""transformers.js on a page of the development server, with all files from this machine."""

import mimetypes
from pathlib import Path

from playwright.sync_api import Page, Route

from playwright_tests.in_page import in_page

PACKAGE = Path(__file__).parents[1] / "node_modules" / "@huggingface" / "transformers"
RUNTIME = PACKAGE / "node_modules" / "onnxruntime-web"
"""The onnxruntime-web version that this transformers.js names, not gemtab's own."""

PLACE = "transformers-js/"

ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
"""Headers that give the page threads for wasm, as the server's own pages have."""


def open_transformers_js(page: Page, site: str) -> None:
    """Open a page at the server `site` (its address with a final slash) where the global `transformers` is the library,
    and the names of the server's bundles are those of models.

    The page and the library's files are routed before the server, whose own pages block wasm; the bundles come from the
    server.
    """
    place = site + PLACE
    folders = {"package": PACKAGE / "dist", "runtime": RUNTIME / "dist"}

    def from_disk(route: Route) -> None:
        folder, _, file = route.request.url.removeprefix(place).partition("/")
        if folder == "":
            body = "<!doctype html><title>transformers.js</title><link rel=icon href=data:>"
            route.fulfill(content_type="text/html", headers=ISOLATED, body=body)
            return
        kind = "text/javascript" if file.endswith("js") else mimetypes.guess_type(file)[0]
        headers = {**ISOLATED, "Content-Type": kind or "application/octet-stream"}
        route.fulfill(path=folders[folder] / file, headers=headers)

    page.route(f"{place}**", from_disk)
    page.goto(place)
    page.evaluate(in_page("transformers.open"), place)
