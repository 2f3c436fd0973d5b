"""The bundle's ONNX graphs run in onnxruntime-web's CPU build too."""

import mimetypes
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from gemtab.backends.onnx.run import OnnxText
from gemtab.bundle.onnx_files import DECODER_STEM, EMBED_STEM, graph_file
from gemtab.chat.template import ChatTemplate
from gemtab.chat.tokenizer import ChatTokenizer
from playwright_tests.conftest import REPOSITORY
from playwright_tests.in_page import in_page

RUNTIME = REPOSITORY / "node_modules" / "onnxruntime-web" / "dist"
SITE = "http://onnx.localhost/"
"""The page's address: the project's own server would block wasm."""

STEPS = 12


def files_of(bundle: Path, stem: str) -> list[str]:
    """Return the graph's path in the bundle, then those of its data files."""
    graph = bundle / graph_file(stem, "q4")
    return [path.relative_to(bundle).as_posix() for path in (graph, *sorted(graph.parent.glob(f"{graph.name}_data*")))]


@pytest.fixture
def runtime_page(page: Page, bundles: dict[str, Path]) -> Page:
    """A page beside onnxruntime-web and the bundle `tiny`."""
    folders = {"runtime": RUNTIME, "bundle": bundles["tiny"]}

    def from_disk(route: Route) -> None:
        folder, _, file = route.request.url.removeprefix(SITE).partition("/")
        if file == "":
            route.fulfill(content_type="text/html", body="<!doctype html><title>onnxruntime-web</title>")
            return
        kind = "text/javascript" if file.endswith(".mjs") else mimetypes.guess_type(file)[0]
        route.fulfill(path=folders[folder] / file, content_type=kind or "application/octet-stream")

    page.route(f"{SITE}**", from_disk)
    page.goto(SITE)
    return page


def test_it_chooses_the_same_tokens(runtime_page: Page, bundles: dict[str, Path]) -> None:
    tiny = bundles["tiny"]
    question = [{"role": "user", "content": "Hello! Who are you?"}]
    prompt = ChatTokenizer(tiny).encode(ChatTemplate(tiny).render(question))
    model = OnnxText(tiny, "q4")
    wanted = [int(model.step(prompt).argmax())]
    while len(wanted) < STEPS:
        wanted.append(int(model.step(wanted[-1:]).argmax()))
    arguments: list[Any] = [files_of(tiny, EMBED_STEM), files_of(tiny, DECODER_STEM), prompt, STEPS]
    assert runtime_page.evaluate(in_page("onnxruntime.answer"), arguments) == wanted
