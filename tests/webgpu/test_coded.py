"""Integer matrices and tables, with rounded inputs and outputs, against the reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.fuse import fuse
from gemtab.bundle.plan import Limits
from gemtab.errors import CheckpointError
from gemtab.graph import Graph, GraphBuilder, Weight
from gemtab.quantize import Planes, StorageFormat, coded_format, pack_codes, unpack
from tests.webgpu.graphs import GraphOnDevice, Setting
from tests.webgpu.test_kernels import cases, random

Devices = Callable[[bool], Device]

MAX_FLIPS = 0.002
"""Share of products that may round to another code, since sums in another order put them across a rounding edge."""


@dataclass(frozen=True)
class RandomCodes:
    """Random codes and scales. ranges: scales of activations, by weight name."""

    ranges: Mapping[str, list[float]] = field(default_factory=dict)

    def read(self, weight: Weight) -> torch.Tensor:
        return self.read_rows(weight, 0, weight.shape[0])

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        if weight.role == "bound":
            return torch.tensor(self.ranges[weight.name])
        assert weight.bits
        form = coded_format(weight.bits)
        return unpack(self.packed_rows(weight, form, start, stop), form, (stop - start, weight.shape[1]))

    def packed_rows(self, weight: Weight, stored: StorageFormat, start: int, stop: int) -> Planes:
        assert weight.bits and stored == coded_format(weight.bits)
        generator = torch.Generator().manual_seed(weight.bits)
        codes = torch.randint(0, 1 << weight.bits, weight.shape, generator=generator, dtype=torch.uint8)
        scales = (torch.rand(weight.shape[0], weight.groups, generator=generator) + 0.5) / (1 << weight.bits)
        return {"codes": pack_codes(codes[start:stop], weight.bits).numpy(), "scales": scales[start:stop].numpy()}


def coded(name: str, bits: int) -> GraphBuilder:
    return GraphBuilder(name, lambda _source, _table: bits)


def assert_rounded(found: torch.Tensor, expected: torch.Tensor, step: float) -> None:
    """Compare within rounding of floats, except a few values at a rounding edge."""
    error = (found - expected).abs()
    flipped = error > 1e-5 * max(1.0, float(expected.abs().max()))
    assert float(flipped.float().mean()) <= MAX_FLIPS, f"{int(flipped.sum())} of {flipped.numel()} differ"
    assert float(error.max()) <= step * 1.001
    assert float(expected.abs().max()) > 10 * step, "the step is too large for this test"


def product(bits: int, rows: int, columns: int, sources: int) -> tuple[Graph, str]:
    b = coded("matmul", bits)
    x = b.input("x", ("T", columns))
    names = [f"w{i}.weight" for i in range(sources)]
    parts = (rows - (sources - 1) * (rows // 4), *[rows // 4] * (sources - 1))
    weight = b.weight("w", (rows, columns), "matrix", *names, parts=parts)
    return b.finish(y=b.linear(x, weight)), weight.name


@pytest.mark.parametrize("subgroups", [True, False], ids=["subgroups", "plain"])
@pytest.mark.parametrize("fill", [False, True], ids=["decode", "fill"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("case", cases("round"))
def test_products_of_codes(
    case: dict[str, int], bits: int, fill: bool, subgroups: bool, tmp_path: Path, devices: Devices
) -> None:
    if not fill and case["tokens"] > 8:
        case = {**case, "tokens": 8}
    graph, name = product(bits, case["rows"], case["columns"], 1)
    weights = RandomCodes({f"{name}.input_scale": [0.02], f"{name}.output_scale": [0.05]})
    setting = Setting("f32", "qat", fill)
    run = GraphOnDevice.make(graph, setting, case["tokens"], tmp_path, devices(subgroups), weights)
    found, expected = run.step({"x": random(case["tokens"], case["columns"])}, case["tokens"])["y"]
    assert any(".codes" in kernel for kernel in run.runner.plan.kernels)
    assert_rounded(found, expected, 0.05)


@pytest.mark.parametrize("fill", [False, True], ids=["decode", "fill"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(
    ("before", "after"),
    [([0.02] * 3, [0.05, 0.04, 0.03]), ([0.02, 0.03, 0.02], [0.05] * 3), ([0.0, 0.02, 0.02], [0.05, 0.0, 0.04])],
    ids=["alike", "uneven", "off"],
)
def test_each_source_has_its_own_rounding(
    before: list[float], after: list[float], bits: int, fill: bool, tmp_path: Path, devices: Devices
) -> None:
    graph, name = product(bits, 104, 80, 3)
    weights = RandomCodes({f"{name}.input_scale": before, f"{name}.output_scale": after})
    run = GraphOnDevice.make(graph, Setting("f32", "qat", fill), 5, tmp_path, devices(True), weights)
    found, expected = run.step({"x": random(5, 80)}, 5)["y"]
    assert_rounded(found, expected, 0.05)


@pytest.mark.parametrize("limits", [Limits(), Limits(maxStorageBufferBindingSize=2048)], ids=["whole", "pieces"])
@pytest.mark.parametrize("fill", [False, True], ids=["decode", "fill"])
@pytest.mark.parametrize("before", [[0.02, 0.02], [0.02, 0.03]], ids=["alike", "uneven"])
def test_rounding_comes_before_the_gate(
    before: list[float], fill: bool, limits: Limits, tmp_path: Path, devices: Devices
) -> None:
    """A gated product, and the one after it that rounds its result."""
    b = coded("mlp", 4)
    x = b.input("x", ("T", 64))
    up = b.weight("up", (192, 64), "matrix", "gate.weight", "up.weight")
    down = b.weight("down", (64, 96), "matrix", "down.weight")
    graph = b.finish(y=b.linear(b.glu(b.linear(x, up)), down))
    ranges = {"up.input_scale": before, "up.output_scale": [0.05, 0.04]}
    weights = RandomCodes({**ranges, "down.input_scale": [0.03], "down.output_scale": [0.06]})
    run = GraphOnDevice.make(graph, Setting("f32", "qat", fill, limits=limits), 5, tmp_path, devices(True), weights)
    found, expected = run.step({"x": random(5, 64)}, 5)["y"]
    assert_rounded(found, expected, 0.06)


def test_scales_for_parts_of_a_block_are_rejected() -> None:
    b = coded("embed", 4)
    table = b.weight("table", (50, 96), "table", "table.weight", groups=6)
    graph = b.finish(y=b.embed(b.input("ids", ("T",), "i32"), table, 3.5))
    with pytest.raises(CheckpointError, match="table has a scale for each 16 columns; expected a multiple of 32"):
        fuse(graph)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("groups", [1, 3])
def test_tables_of_codes(groups: int, bits: int, tmp_path: Path, devices: Devices) -> None:
    b = coded("embed", bits)
    ids = b.input("ids", ("T",), "i32")
    table = b.weight("table", (50, 96), "table", "table.weight", groups=groups)
    graph = b.finish(y=b.embed(ids, table, 3.5, 64))
    run = GraphOnDevice.make(graph, Setting(weight_format="qat"), 7, tmp_path, devices(True), RandomCodes())
    found, expected = run.step({"ids": torch.tensor([0, 49, 7, 7, 31, 2, 48])}, 7)["y"]
    assert float((found - expected).abs().max()) <= 1e-6
