"""Caches: they grow on demand, rings know which positions they hold, and a second model can use them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wgpu

from gemtab.backends.webgpu.engine.caches import Caches
from gemtab.backends.webgpu.engine.decode import Decoder
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.fill import fill
from gemtab.backends.webgpu.engine.load import load_text_plan
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.folder import load_plan
from gemtab.bundle.plan import Limits, Plan, StateBuffer
from gemtab.errors import BundleError, DeviceError
from gemtab.export import export_bundle
from tests.silent import Silent
from tests.variants import TINY

IDS = [40 + (7 * i) % 900 for i in range(400)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/tiny with short chunks: rings of 96 positions for a window of 64, so a rewind of 32 is possible."""
    out = tmp_path_factory.mktemp("bundle") / "tiny"
    small = Limits(maxStorageBufferBindingSize=65536)
    export_bundle(TINY, out, "q4", 1024, False, Silent(), limits=small, inputs=["text"])
    return out


@pytest.fixture(scope="module")
def engine(bundle: Path) -> TextEngine:
    return TextEngine(bundle, "f32")


def logits_after(engine: TextEngine, ids: list[int]) -> list[float]:
    """The logits of a fresh conversation."""
    engine.reset()
    engine.fill(ids[:-1])
    engine.decode(ids[-1])
    return [float(x) for x in engine.read_logits()[0]]


def test_a_short_rewind_finds_what_it_needs(engine: TextEngine) -> None:
    wanted = logits_after(engine, [*IDS[:280], 50, 51])
    engine.reset()
    engine.fill(IDS[:300])
    assert engine.rewind(280)
    engine.fill([50])
    engine.decode(51)
    assert engine.read_logits()[0] == pytest.approx(wanted, abs=1e-4)


def test_two_short_rewinds_are_one_long_one(engine: TextEngine) -> None:
    """Rows that the first 300 positions overwrote stay overwritten after any number of rewinds."""
    engine.reset()
    engine.fill(IDS[:300])
    assert engine.rewind(280)
    assert not engine.rewind(260)
    assert engine.position == 280


def test_a_snapshot_gives_back_what_a_rewind_cannot(engine: TextEngine) -> None:
    wanted = logits_after(engine, [*IDS[:120], 50, 51])
    engine.reset()
    engine.fill(IDS[:120])
    snapshot = engine.snapshot()
    engine.fill(IDS[120:400])
    assert not engine.rewind(120)
    engine.restore(snapshot)
    engine.fill([50])
    engine.decode(51)
    assert engine.read_logits()[0] == pytest.approx(wanted, abs=1e-4)


def test_before_the_rings_come_round_every_rewind_is_free(engine: TextEngine) -> None:
    engine.reset()
    engine.fill(IDS[:90])
    assert engine.rewind(10)
    assert not engine.rewind(11)
    assert engine.rewind(0)
    engine.fill(IDS[:200])
    assert engine.rewind(0)


def test_growth_without_memory_leaves_the_conversation_as_it_was(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TextEngine(bundle, "f32")
    wanted = logits_after(engine, [*IDS, *IDS[:100]])
    engine = TextEngine(bundle, "f32")
    assert engine.caches.bytes == 0
    engine.fill(IDS[:60])
    held = engine.caches.bytes
    made: list[str] = []
    storage = Device.storage

    def one_more(self: Device, label: str, size: int) -> Any:
        if made:
            raise wgpu.GPUOutOfMemoryError("no")
        made.append(label)
        return storage(self, label, size)

    with monkeypatch.context() as patch:
        patch.setattr(Device, "storage", one_more)
        with pytest.raises(DeviceError, match="no memory left"):
            engine.fill([*IDS[60:], *IDS[:99]])
    assert made, "the caches were to grow"
    assert engine.caches.bytes == held
    reached = engine.position
    assert 60 <= reached < 499
    engine.fill([*IDS, *IDS[:99]][reached:])
    engine.decode(IDS[99])
    assert engine.caches.bytes > held
    assert engine.read_logits()[0] == pytest.approx(wanted, abs=1e-4)


def test_a_second_model_goes_on_from_the_caches_of_the_first(bundle: Path, engine: TextEngine) -> None:
    wanted = logits_after(engine, IDS[:301])
    engine.reset()
    engine.fill(IDS[:150])
    second = load_text_plan(bundle, engine.runner.plan, engine.runner.device, engine.caches)
    assert second.runner is not engine.runner
    fill(second, IDS[150:300])
    assert engine.position == 300
    decoder = Decoder(second)
    decoder.step(IDS[300])
    assert decoder.read_logits()[0] == pytest.approx(wanted, abs=1e-4)
    assert engine.rewind(300)
    engine.decode(IDS[300])
    assert np.array_equal(engine.read_logits(), decoder.read_logits())


def changed(plan: Plan, buffers: dict[str, StateBuffer]) -> Plan:
    return plan.model_copy(update={"buffers": {**plan.buffers, **buffers}})


def test_a_model_that_needs_other_caches_is_rejected(bundle: Path, engine: TextEngine) -> None:
    plan = load_plan(bundle / "plan" / "f32.json")
    name, cache = next((name, one) for name, one in plan.buffers.items() if isinstance(one, StateBuffer))
    fewer = {other: one for other, one in plan.buffers.items() if other != name}
    engine.caches.check(plan.model_copy(update={"buffers": fewer}))
    for other in ({name: cache.model_copy(update={"bytes": 4096})}, {"kv.99:keys": cache}):
        with pytest.raises(BundleError, match=r"cache kv\.\d+:\w+.* do not belong together"):
            load_text_plan(bundle, changed(plan, other), engine.runner.device, engine.caches)


def test_the_plan_limits_the_context(engine: TextEngine) -> None:
    plan, device = engine.runner.plan, engine.runner.device
    assert [Caches(device, plan, asked).context for asked in (None, 300, 1024, 5000)] == [1024, 300, 1024, 1024]
