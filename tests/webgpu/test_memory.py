"""The executor allocates the memory that the bundle states."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.load import load_tower
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.folder import read_manifest
from gemtab.bundle.manifest import PlanEntry, WeightFormat
from gemtab.bundle.memory import memory_need
from gemtab.bundle.plan import Limits
from gemtab.export import export_bundle
from tests.silent import Silent
from tests.variants import variant

AGREEMENT = 0.05
"""Largest difference between statement and allocation, in bytes."""


@dataclass
class Ledger:
    """Sizes of the buffers that a device has created, except those for reading back, by identity."""

    sizes: dict[int, int] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.sizes.values())


@contextmanager
def ledger_of(device: Device, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Count the buffers that are created and destroyed on the device inside the block."""
    ledger = Ledger()
    make = device.gpu.create_buffer

    def create_buffer(**options: Any) -> Any:
        buffer = make(**options)
        ledger.kept.append(buffer)
        ledger.sizes[id(buffer)] = buffer.size
        destroy = buffer.destroy

        def destroyed() -> None:
            ledger.sizes.pop(id(buffer), None)
            destroy()

        buffer.destroy = destroyed
        return buffer

    with monkeypatch.context() as patch:
        patch.setattr(device.gpu, "create_buffer", create_buffer)
        yield ledger


def entry_of(folder: Path, activation: Activation) -> PlanEntry:
    (entry,) = (one for one in read_manifest(folder).plans if one.activation == activation)
    return entry


def small_bindings() -> Limits:
    """Limits so small that caches have several segments."""
    return Limits(maxStorageBufferBindingSize=65536)


@pytest.mark.parametrize(("name", "weights"), [("everything", "f32"), ("per_layer", "q4"), ("mixed", "f16")])
@pytest.mark.parametrize("context", [512, 300])
@pytest.mark.parametrize("activation", ["f32", "f16"])
def test_a_text_model_takes_what_it_says(
    name: str,
    weights: WeightFormat,
    context: int,
    activation: Activation,
    tmp_path: Path,
    devices: Callable[[bool], Device],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, bundle = variant(name, tmp_path / "checkpoint", with_tokenizer=True), tmp_path / "bundle"
    export_bundle(source, bundle, weights, 512, False, Silent(), limits=small_bindings())
    stated = memory_need(entry_of(bundle, activation), context)
    draw = random.Random(context)
    with ledger_of(devices(True), monkeypatch) as ledger:
        executor = TextEngine(bundle, activation, context, devices(True))
        at_first = executor.runner.memory
        executor.fill([draw.randrange(30, 300) for _ in range(context - 1)])
        executor.decode(30)
        found = executor.runner.memory
        assert ledger.total == found.total
    assert at_first.state == 0
    assert found.weights == stated.weights
    assert found.state == pytest.approx(stated.state, rel=AGREEMENT)
    assert found.scratch == pytest.approx(stated.scratch, rel=AGREEMENT)
    assert found.total == pytest.approx(stated.total, rel=AGREEMENT)


def test_a_tower_takes_what_it_says(
    tmp_path: Path, devices: Callable[[bool], Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, bundle = variant("seeing", tmp_path / "checkpoint", with_tokenizer=True), tmp_path / "bundle"
    export_bundle(source, bundle, "q8", 512, False, Silent())
    (entry,) = read_manifest(bundle).towers.image
    assert entry.tokens == 1120
    side, tokens = 12, 16
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2).astype(np.int32)
    with ledger_of(devices(True), monkeypatch) as ledger:
        tower = load_tower(bundle, "image", devices(True))
        resident = ledger.total
        rows, count = tower.encode_to_buffer(
            {"pixel_values": np.zeros((side * side, 768), np.float32), "pixel_position_ids": grid}
        )
        most = sum(buffer.size for buffer in ledger.kept)
        assert count == tokens
        rows.destroy()
        assert resident <= ledger.total < most, "scratch is given back"
    stated = memory_need(entry.model_copy(update={"tokens": tokens}), tokens)
    assert most == pytest.approx(stated.total, rel=AGREEMENT)
