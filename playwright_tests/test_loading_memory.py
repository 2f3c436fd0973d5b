"""JavaScript's memory while a large bundle is loaded: heaps and ArrayBuffers of the page and its worker together."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import CDPSession, Page
from transformers import Gemma4ForCausalLM, Gemma4TextConfig

from gemtab.bundle.digest import SLICE_BYTES
from gemtab.bundle.folder import read_manifest
from gemtab.bundle.memory import memory_need
from gemtab.export import NEEDED_FILES, export_bundle
from gemtab.synth.tokenizer import grown_tokenizer
from playwright_tests.conftest import LOADING_LINE, TINY, SharedFolders
from playwright_tests.serving import serving
from tests.silent import Silent
from tests.variants import BASE, FULL, SLIDING

MOST_BYTES = 256 << 20
"""Of DESIGN: whatever the model's size."""

LEAST_WEIGHTS = 300_000_000
"""So large that weights that gathered would show."""

VOCABULARY = 262_144
MERGES = 514_906
"""As many as the published tokenizer has."""

SIZES = {
    **BASE,
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size": 128,
    "hidden_size_per_layer_input": 64,
    "layer_types": [SLIDING, SLIDING, FULL],
    "num_hidden_layers": 3,
}

SAMPLE_MS = 20


def write_tokenizer(folder: Path) -> None:
    """models/tiny's tokenizer with as many words and merges as the published one: each new word joins two others, and
    is merged from other halves too."""
    tiny = json.loads((TINY / "tokenizer.json").read_text(encoding="utf-8"))
    content = grown_tokenizer(tiny, {token["content"]: token["id"] for token in tiny["added_tokens"]}, VOCABULARY)
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    known = {tuple(pair) for pair in merges}
    halves = ((word[:cut], word[cut:]) for word in reversed(vocabulary) for cut in range(1, len(word)))
    more = (list(pair) for pair in halves if pair not in known)
    merges += itertools.islice(more, MERGES - len(merges))
    assert (len(vocabulary), len(merges)) == (VOCABULARY, MERGES)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def write_checkpoint(folder: Path) -> Path:
    """A random model in the shape of E2B, mostly of tables."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        Gemma4ForCausalLM(Gemma4TextConfig(**SIZES)).save_pretrained(folder)
    finally:
        torch.set_default_dtype(torch.float32)
    for name in NEEDED_FILES:
        shutil.copyfile(TINY / name, folder / name)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def large_bundle(shared_folders: SharedFolders) -> Path:
    """The bundle of such a model, in f32: the fewest numbers that make as many bytes."""

    def export(out: Path) -> None:
        source = write_checkpoint(out.with_name(f"{out.name}-checkpoint"))
        export_bundle(source, out, "f32", 2048, False, Silent())
        shutil.rmtree(source)

    return shared_folders.folder("large-f32", export)


@pytest.fixture(scope="module")
def large_site(large_bundle: Path) -> Iterator[str]:
    """The address of a server with it."""
    with serving({"large": large_bundle}) as site:
        yield site


class Heaps:
    """The heaps of a page and of its workers, as V8 tells them: CDP's Runtime.getHeapUsage, of which `usedSize` is what
    lies in the heap, garbage included that was not collected yet, `embedderHeapUsedSize` the browser's objects, and
    `backingStorageSize` the contents of ArrayBuffers. A heap is asked when its thread is free."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, float]] = {}
        self._workers: list[str] = []
        self._session.on("Target.attachedToTarget", lambda event: self._workers.append(event["sessionId"]))
        self._session.on("Target.receivedMessageFromTarget", self._receive)
        attach = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False}
        self._session.send("Target.setAutoAttach", attach)

    @property
    def workers(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    def bytes(self) -> list[int]:
        """Of the page and of each worker."""
        asked = [self._ask(worker) for worker in self._workers]
        sizes = [_sum(self._session.send("Runtime.getHeapUsage"))]
        for number in asked:
            while number not in self._answers:
                self._page.wait_for_timeout(SAMPLE_MS)
            sizes.append(_sum(self._answers.pop(number)))
        return sizes

    def _ask(self, worker: str) -> int:
        number = next(self._numbers)
        message = json.dumps({"id": number, "method": "Runtime.getHeapUsage"})
        self._session.send("Target.sendMessageToTarget", {"sessionId": worker, "message": message})
        return number

    def _receive(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self._answers[message["id"]] = message["result"]


def _sum(usage: dict[str, float]) -> int:
    return int(usage["usedSize"] + usage["embedderHeapUsedSize"] + usage["backingStorageSize"])


_START = """([site, options]) => {
    globalThis.state = "loading";
    globalThis.stage = "manifest";
    const onProgress = (progress) => { globalThis.stage = progress.stage; };
    import(`${site}gemtab.js`)
        .then(({ Gemma }) => Gemma.load(`${site}bundles/large/`, { ...options, onProgress }))
        .then((gemma) => { globalThis.gemma = gemma; globalThis.state = "ready"; })
        .catch((error) => { globalThis.state = `${error.name}: ${error.message}`; });
}"""


@pytest.mark.parametrize("host_table", ["never", "always"])
def test_weights_never_gather(
    host_table: str, large_bundle: Path, large_site: str, page: Page, record_property: Callable[[str, object], None]
) -> None:
    weights = memory_need(read_manifest(large_bundle).plans[0], 2048).weights
    assert weights > LEAST_WEIGHTS
    page.goto(large_site + "example.html")
    heaps = Heaps(page)
    page.evaluate(_START, [large_site, {"hostTable": host_table}])
    samples: list[list[int]] = []
    stages: list[str] = []
    while (state := page.evaluate("state")) == "loading":
        samples.append(heaps.bytes())
        # After `ready` comes what a chat needs: the tokenizer.
        stages.append(page.evaluate("stage"))
        page.wait_for_timeout(SAMPLE_MS)
    assert state == "ready"
    assert heaps.workers == 1
    most = max(samples, key=sum)
    parts = " + ".join(f"{size / 2**20:.0f}" for size in most)
    line = f"{weights / 1e6:.0f} MB of weights, hostTable {host_table}: at most {parts} MiB in page and worker"
    by_stage = {
        stage: max(sum(sample) for sample, other in zip(samples, stages, strict=True) if other == stage)
        for stage in dict.fromkeys(stages)
    }
    stage_words = ", ".join(f"{stage} {size >> 20}" for stage, size in by_stage.items())
    record_property(LOADING_LINE, f"{line} ({stage_words}; {len(samples)} samples)")
    assert len(samples) > 20, "loading was hardly watched"
    assert by_stage["download"] > SLICE_BYTES, "a slice in an ArrayBuffer shows"
    assert sum(most) < MOST_BYTES
