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

RUNTIME = REPOSITORY / "node_modules" / "onnxruntime-web" / "dist"
SITE = "http://onnx.localhost/"
"""Where the page believes it is: the project's own server would not let wasm run."""

STEPS = 12

ANSWER = """async ([embedGraph, decoderGraph, prompt, steps]) => {
  const ort = await import('/runtime/ort.wasm.min.mjs');
  ort.env.wasm.numThreads = 1;
  const open = ([path, ...data]) => ort.InferenceSession.create('/bundle/' + path, {
    executionProviders: ['wasm'],
    externalData: data.map(file => ({ path: file.split('/').at(-1), data: '/bundle/' + file })),
  });
  const [embed, decoder] = [await open(embedGraph), await open(decoderGraph)];
  const integers = (values, shape) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), shape);
  const empty = ({ name, shape }) => [name, new ort.Tensor('float32', [], [1, shape[1], 0, shape[3]])];
  let past = Object.fromEntries(decoder.inputMetadata.filter(({ name }) => name.startsWith('past')).map(empty));
  const chosen = [];
  for (let next = prompt, length = 0; chosen.length < steps; next = chosen.slice(-1)) {
    const positions = next.map((_, index) => length + index);
    length += next.length;
    const { logits, ...present } = await decoder.run({
      ...await embed.run({ input_ids: integers(next, [1, next.length]) }),
      ...past,
      attention_mask: integers(Array(length).fill(1), [1, length]),
      position_ids: integers(positions, [1, next.length]),
      num_logits_to_keep: integers([1], []),
    });
    past = Object.fromEntries(
      Object.entries(present).map(([name, value]) => [name.replace('present', 'past_key_values'), value]));
    chosen.push(logits.data.reduce((best, value, id) => value > logits.data[best] ? id : best, 0));
  }
  return chosen;
}"""


def files_of(bundle: Path, stem: str) -> list[str]:
    """The graph's path in the bundle, then those of its data files."""
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
    assert runtime_page.evaluate(ANSWER, arguments) == wanted
