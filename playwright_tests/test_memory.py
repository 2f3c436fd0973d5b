"""The tab allocates as much GPU memory as a bundle states."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page

from gemtab.bundle.folder import read_manifest
from gemtab.bundle.manifest import PlanEntry, WeightFormat
from gemtab.bundle.memory import memory_need
from gemtab.export import export_bundle
from playwright_tests.conftest import ChatPage, SharedFolders
from playwright_tests.in_page import in_page
from playwright_tests.serving import serving
from tests.silent import Silent
from tests.variants import variant

AGREEMENT = 0.05
"""Maximum difference of statement and allocation."""

CONTEXT = 512


@dataclass(frozen=True)
class Case:
    """A variant in a format, loaded with a context."""

    model: str
    weights: WeightFormat
    context: int = CONTEXT

    @property
    def name(self) -> str:
        return f"{self.model.replace('_', '-')}-{self.weights}"


CASES = [Case("per_layer", "q4"), Case("everything", "f32"), Case("everything", "f32", 300), Case("seeing", "q8")]


@pytest.fixture(scope="module")
def memory_bundles(shared_folders: SharedFolders) -> dict[str, Path]:
    """The cases' bundles, by name."""

    def export(case: Case, out: Path) -> None:
        source = variant(case.model, out.with_name(f"{out.name}-checkpoint"), with_tokenizer=True)
        export_bundle(source, out, case.weights, CONTEXT, False, Silent())

    return {case.name: shared_folders.folder(f"memory-{case.name}", partial(export, case)) for case in CASES}


@pytest.fixture(scope="module")
def memory_site(memory_bundles: dict[str, Path]) -> Iterator[str]:
    """The address of a server with all of them."""
    with serving(memory_bundles) as site:
        yield site


def entry_of(folder: Path, activation: str) -> PlanEntry:
    (entry,) = (one for one in read_manifest(folder).plans if one.activation == activation)
    return entry


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.context}")
def test_a_bundle_takes_what_it_says(case: Case, memory_bundles: dict[str, Path], memory_site: str, page: Page) -> None:
    page.goto(memory_site + "example.html")
    page.evaluate(in_page("engine.countAllocations"))
    stats, allocated = page.evaluate(in_page("engine.loadCounted"), [memory_site, case.name, case.context])
    stated = memory_need(entry_of(memory_bundles[case.name], stats["activation"]), case.context)
    assert stats["gpuBytes"] == pytest.approx(stated.total, rel=AGREEMENT)
    assert allocated == pytest.approx(stated.total, rel=AGREEMENT)
    for part in ("weights", "state", "scratch"):
        assert stats[f"{part.removesuffix('s')}Bytes"] == pytest.approx(getattr(stated, part), rel=AGREEMENT)
    draw = random.Random(1)
    stats, allocated = page.evaluate(
        in_page("engine.runCounted"), [draw.randrange(30, 300) for _ in range(case.context - 4)]
    )
    assert stats["gpuBytes"] == pytest.approx(stated.total, rel=AGREEMENT)
    assert allocated == pytest.approx(stated.total, rel=AGREEMENT)


def test_a_tower_takes_what_it_says(memory_bundles: dict[str, Path], memory_site: str, page: Page) -> None:
    page.goto(memory_site + "example.html")
    page.evaluate(in_page("engine.countAllocations"))
    stats, before = page.evaluate(in_page("engine.loadCounted"), [memory_site, "seeing-q8", CONTEXT])
    tokens, side = 256, 48
    found = page.evaluate(in_page("engine.seeCounted"), [side, tokens])
    entries = read_manifest(memory_bundles["seeing-q8"]).towers.image
    (entry,) = (one for one in entries if one.activation == stats["activation"])
    stated = memory_need(entry.model_copy(update={"tokens": tokens}), tokens)
    resident, allocated = found["resident"]
    assert resident["gpuBytes"] == pytest.approx(allocated, rel=AGREEMENT)
    assert resident["towerBytes"] == pytest.approx(stated.weights, rel=AGREEMENT)
    assert found["most"] - before == pytest.approx(stated.total, rel=AGREEMENT)
    assert found["after"] == allocated


def test_the_page_says_it_before_anything_is_loaded(
    memory_bundles: dict[str, Path], memory_site: str, chat_page: ChatPage
) -> None:
    chat_page.open(memory_site)
    chat_page.page.locator("#bundle").select_option("bundles/seeing-q8/")
    chat_page.chat.locator("[part=facts]").get_by_text("of the GPU's memory").wait_for()
    facts = chat_page.chat.locator("[part=facts]").inner_text()
    # SwiftShader has no f16.
    needed = memory_need(entry_of(memory_bundles["seeing-q8"], "f32"), CONTEXT).total
    assert f"It takes up to {needed / 1e6:.1f} MB of the GPU's memory, and " in facts
    assert "more at the first image or audio" in facts
