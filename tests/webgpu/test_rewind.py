"""Going back in a conversation: the rings tell what they still hold, and what they hold is right."""

import pytest

from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.plan import Limits
from gemtab.export import export_bundle
from tests.silent import Silent
from tests.variants import TINY

IDS = [40 + (7 * i) % 900 for i in range(400)]


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> TextEngine:
    """models/tiny with short chunks: rings of 96 positions for a window of 64, so 32 may be taken back."""
    out = tmp_path_factory.mktemp("bundle") / "tiny"
    small = Limits(maxStorageBufferBindingSize=65536)
    export_bundle(TINY, out, "q4", 1024, False, Silent(), limits=small, inputs=["text"])
    return TextEngine(out, "f32")


def logits_after(executor: TextEngine, ids: list[int]) -> list[float]:
    """The logits of a fresh conversation."""
    executor.reset()
    executor.fill(ids[:-1])
    executor.decode(ids[-1])
    return [float(x) for x in executor.read_logits()[0]]


def test_a_short_rewind_finds_what_it_needs(executor: TextEngine) -> None:
    wanted = logits_after(executor, [*IDS[:280], 50, 51])
    executor.reset()
    executor.fill(IDS[:300])
    assert executor.rewind(280)
    executor.fill([50])
    executor.decode(51)
    assert executor.read_logits()[0] == pytest.approx(wanted, abs=1e-4)


def test_two_short_rewinds_are_one_long_one(executor: TextEngine) -> None:
    """What the first 300 positions overwrote stays overwritten, however small the steps back are."""
    executor.reset()
    executor.fill(IDS[:300])
    assert executor.rewind(280)
    assert not executor.rewind(260)
    assert executor.position == 280


def test_a_snapshot_gives_back_what_a_rewind_cannot(executor: TextEngine) -> None:
    wanted = logits_after(executor, [*IDS[:120], 50, 51])
    executor.reset()
    executor.fill(IDS[:120])
    snapshot = executor.snapshot()
    executor.fill(IDS[120:400])
    assert not executor.rewind(120)
    executor.restore(snapshot)
    executor.fill([50])
    executor.decode(51)
    assert executor.read_logits()[0] == pytest.approx(wanted, abs=1e-4)


def test_before_the_rings_come_round_every_rewind_is_free(executor: TextEngine) -> None:
    executor.reset()
    executor.fill(IDS[:90])
    assert executor.rewind(10)
    assert not executor.rewind(11)
    assert executor.rewind(0)
    executor.fill(IDS[:200])
    assert executor.rewind(0)
