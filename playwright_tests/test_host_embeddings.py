"""Per-layer embeddings in the browser's storage: the same tokens as from the GPU, within the stated memory."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from gemtab.bundle.folder import load_plan, read_manifest
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.memory import memory_need
from gemtab.bundle.plan import Limits, RowsBuffer
from gemtab.export import export_bundle
from playwright_tests.conftest import ChatPage, SharedFolders
from playwright_tests.in_page import in_page
from playwright_tests.loading import set_quota
from playwright_tests.serving import serving
from tests.silent import Silent
from tests.variants import variant

CONTEXT = 512
READBACK = 4096
"""Bytes of read-back buffers, which no manifest states."""
SMALL = 65536
"""Bytes of a binding and of a slice, so that embeddings have many slices."""


@dataclass(frozen=True)
class Case:
    """A variant in a format."""

    model: str
    weights: WeightFormat

    @property
    def name(self) -> str:
        """The bundle's name."""
        return f"host-{self.model.replace('_', '-')}-{self.weights}"


SMALL_MACHINE = "Object.defineProperty(Navigator.prototype, 'deviceMemory', { get: () => 0.000001 })"

CASES = [Case("everything", "q4"), Case("everything", "f16")]


@pytest.fixture(scope="module")
def host_bundles(shared_folders: SharedFolders) -> dict[str, Path]:
    """The cases' bundles by name, and one with damaged embeddings."""

    def export(case: Case, out: Path) -> None:
        source = variant(case.model, out.with_name(f"{out.name}-checkpoint"), with_tokenizer=True)
        limits = Limits(maxStorageBufferBindingSize=SMALL)
        options = (case.weights, CONTEXT, False, Silent())
        export_bundle(source, out, *options, limits=limits, slice_bytes=SMALL)

    def damage(out: Path) -> None:
        shutil.copytree(bundles[CASES[0].name], out)
        buffer = table_of(out)
        path = out / buffer.file
        content = bytearray(path.read_bytes())
        content[buffer.offset + buffer.rows * buffer.row_bytes - 1] ^= 1
        path.write_bytes(content)

    bundles = {case.name: shared_folders.folder(case.name, partial(export, case)) for case in CASES}
    return {**bundles, "damaged": shared_folders.folder("host-damaged", damage)}


@pytest.fixture(scope="module")
def host_site(host_bundles: dict[str, Path]) -> Iterator[str]:
    """The address of a server with all of them."""
    with serving(host_bundles) as site:
        yield site


def table_of(bundle: Path) -> RowsBuffer:
    """Return the larger plane of the embeddings."""
    plan = load_plan(bundle / "plan" / "f32.json")
    return max((one for one in plan.buffers.values() if isinstance(one, RowsBuffer)), key=lambda one: one.row_bytes)


def answer(page: Page, site: str, bundle: str, **options: object) -> dict[str, Any]:
    """Return the tab's answer to a prompt longer than a chunk, in a new engine."""
    draw = random.Random(7)
    ids = [draw.randrange(30, 300) for _ in range(300)]
    found: dict[str, Any] = page.evaluate(in_page("engine.answer"), [site, bundle, options, ids])
    return found


def ranges_asked(page: Page, bundle: Path) -> list[str]:
    """Return a list that collects the page's requested ranges of the embeddings' file."""
    file = table_of(bundle).file
    whole = f"bytes=0-{(bundle / file).stat().st_size - 1}"
    ranges: list[str] = []
    page.on("request", lambda one: ranges.append(one.headers.get("range", whole)) if file in one.url else None)
    return ranges


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tokens_are_the_same(case: Case, host_bundles: dict[str, Path], host_site: str, page: Page) -> None:
    bundle = host_bundles[case.name]
    page.goto(host_site + "example.html")
    on_gpu = answer(page, host_site, case.name)
    assert on_gpu["stats"]["embeddings"] == "gpu"
    ranges = ranges_asked(page, bundle)
    on_host = answer(page, host_site, case.name, hostEmbeddings="always")
    first = list(ranges)
    assert on_host["stats"]["embeddings"] == "host"
    assert len(set(on_gpu["chosen"])) > 2
    assert on_host["chosen"] == on_gpu["chosen"]
    (entry,) = (one for one in read_manifest(bundle).plans if one.activation == on_gpu["stats"]["activation"])
    for found, tables in ((on_gpu, "gpu"), (on_host, "host")):
        stated = memory_need(entry, CONTEXT, "gpu" if tables == "gpu" else "host").total
        assert found["stats"]["gpuBytes"] == pytest.approx(stated, rel=0.05)
    # Stored embeddings are not downloaded again. Scarce memory selects storage too.
    ranges.clear()
    memory = memory_need(entry, CONTEXT, "host").total
    again = answer(page, host_site, case.name, memory=memory)
    assert again["chosen"] == on_gpu["chosen"]
    assert again["stats"]["embeddings"] == "host"
    assert _span(ranges) < _span(first) - table_of(bundle).rows * table_of(bundle).row_bytes / 2


def _span(ranges: list[str]) -> int:
    """Return the total bytes of `bytes=first-last` ranges."""
    pairs = (part.removeprefix("bytes=").split("-") for part in ranges)
    return sum(int(last) - int(first) + 1 for first, last in pairs)


def test_a_damaged_table_is_reported_and_not_kept(host_site: str, page: Page) -> None:
    page.goto(host_site + "example.html")
    options = {"hostEmbeddings": "always"}
    for _ in range(2):
        message = page.evaluate(in_page("engine.refusal"), [host_site, "damaged", options])
        assert message.startswith("BundleError: Slice")
        assert "was altered" in message
    stored = page.evaluate(in_page("engine.storedSizes"))
    assert stored and set(stored) == {0}


def test_without_storage_the_gpu_must_hold_the_embeddings(
    host_bundles: dict[str, Path], host_site: str, page: Page
) -> None:
    page.add_init_script("delete StorageManager.prototype.getDirectory")
    page.goto(host_site + "example.html")
    (entry,) = (one for one in read_manifest(host_bundles[CASES[0].name]).plans if one.activation == "f32")
    for options in ({"hostEmbeddings": "always"}, {"memory": memory_need(entry, CONTEXT, "host").total}):
        message = page.evaluate(in_page("engine.refusal"), [host_site, CASES[0].name, options])
        assert message.startswith("DeviceError: This browser keeps no files for the page")


def test_embeddings_beyond_the_quota_are_not_downloaded(
    host_bundles: dict[str, Path], host_site: str, page: Page
) -> None:
    """In a private window, a browser gives a site less storage than a large model's embeddings take."""
    bundle = host_bundles[CASES[0].name]
    plan = load_plan(bundle / "plan" / "f32.json")
    buffers = [one for one in plan.buffers.values() if isinstance(one, RowsBuffer)]
    needed = sum(one.rows * one.row_bytes for one in buffers)
    page.goto(host_site + "example.html")
    set_quota(page, host_site, needed - 1)
    ranges = ranges_asked(page, bundle)
    message = page.evaluate(in_page("engine.refusal"), [host_site, bundle.name, {"hostEmbeddings": "always"}])
    assert message.startswith("DeviceError: The browser has no storage for ")
    assert "QuotaExceededError" in message and "private window" in message
    assert ranges == []
    page.evaluate(SMALL_MACHINE)
    assert answer(page, host_site, bundle.name)["stats"]["embeddings"] == "gpu", "the other way is tried"
    (entry,) = (one for one in read_manifest(bundle).plans if one.activation == "f32")
    page.evaluate(in_page("engine.limitMemory"), memory_need(entry, CONTEXT, "host").total + READBACK)
    message = page.evaluate(in_page("engine.refusal"), [host_site, bundle.name, {}])
    assert message.startswith("DeviceError: The model's per-layer embeddings fit neither")
    assert "The GPU has too little memory" in message and "The browser has no storage" in message


def test_a_gpu_that_runs_out_of_memory_is_handed_the_rows(
    host_bundles: dict[str, Path], host_site: str, page: Page
) -> None:
    name = CASES[0].name
    (entry,) = (one for one in read_manifest(host_bundles[name]).plans if one.activation == "f32")
    page.goto(host_site + "example.html")
    expected = answer(page, host_site, name)["chosen"]
    page.evaluate(in_page("engine.limitMemory"), memory_need(entry, CONTEXT, "host").total + READBACK)
    ranges = ranges_asked(page, host_bundles[name])
    found = answer(page, host_site, name)
    assert found["stats"]["embeddings"] == "host"
    assert found["chosen"] == expected
    assert _span(ranges) <= (host_bundles[name] / table_of(host_bundles[name]).file).stat().st_size, "it came once"
    message = page.evaluate(in_page("engine.refusal"), [host_site, name, {"hostEmbeddings": "never"}])
    assert message.startswith("DeviceError: The GPU has too little memory (")


def test_a_small_machine_keeps_the_table_out_of_its_memory(host_site: str, page: Page) -> None:
    page.add_init_script(SMALL_MACHINE)
    page.goto(host_site + "example.html")
    assert answer(page, host_site, CASES[0].name)["stats"]["embeddings"] == "host"
    assert answer(page, host_site, CASES[0].name, hostEmbeddings="never")["stats"]["embeddings"] == "gpu"


def test_rows_that_are_on_the_gpu_are_not_read_again(host_site: str, page: Page) -> None:
    page.goto(host_site + "example.html")
    page.evaluate(in_page("engine.countReads"))
    first, again, others = page.evaluate(in_page("engine.readsOfTables"), [host_site, CASES[0].name])
    assert first > 0
    assert again == 0, "all of them are still there"
    assert others > 0


def of_a_small_machine(route: Route) -> None:
    """Return the worker, which reads the machine's memory, as on a small machine."""
    script = SMALL_MACHINE.replace("Navigator.", "WorkerNavigator.")
    response = route.fetch()
    route.fulfill(response=response, body=f"{script};{response.text()}")


def test_the_page_says_where_the_table_will_be(
    host_bundles: dict[str, Path], host_site: str, chat_page: ChatPage
) -> None:
    bundle = host_bundles[CASES[1].name]
    (entry,) = (one for one in read_manifest(bundle).plans if one.activation == "f32")
    chat_page.page.route("**/gemtab-worker*.js", of_a_small_machine)
    chat_page.open(host_site)
    chat_page.page.locator("#bundle").select_option(f"bundles/{bundle.name}/")
    facts, notice = (chat_page.chat.locator(f"[part={part}]").first for part in ("facts", "notice"))
    facts.get_by_text("of the GPU's memory").wait_for()
    need, stored = memory_need(entry, CONTEXT, "host").total, entry.memory.embeddings
    assert f"It takes up to {need / 1e6:.1f} MB of the GPU's memory." in facts.inner_text()
    assert f"Another {stored / 1e6:.1f} MB stays in the browser's storage." in facts.inner_text()
    assert "less than the model takes. Choose a smaller one." in notice.inner_text()
