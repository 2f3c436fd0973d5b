"""Every kernel against the reference op, on the cases in the kernel's folder: with and without subgroups, for one
token, a few and many, with caches in f32 and f16."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.render import shader_root
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Limits, Plan, StateBuffer
from gemtab.graph import Graph, GraphBuilder, Value
from tests.webgpu.graphs import GraphOnDevice, Scaled, Setting, assert_close

Devices = Callable[[bool], Device]
ACTIVATIONS: list[Activation] = ["f32", "f16"]
FORMATS: list[WeightFormat] = ["f32", "f16", "q8", "q4"]
EPS = 1e-6


def cases(op: str) -> list[Any]:
    content = json.loads((shader_root() / op / "cases.json").read_text())
    return [pytest.param(case, id="-".join(str(value) for value in case.values())) for case in content]


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_every_kernel_folder_has_cases() -> None:
    folders = {path.parent.name for path in shader_root().glob("*/*.wgsl.jinja")} - {"lib"}
    tested = {path.parent.name for path in shader_root().glob("*/cases.json")}
    assert folders == tested


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("case", cases("embed"))
def test_embed(case: dict[str, int], weight_format: WeightFormat, tmp_path: Path, devices: Devices) -> None:
    b = GraphBuilder("embed")
    ids = b.input("ids", ("T",), "i32")
    table = b.weight("table", (case["vocabulary"], case["width"]), "table")
    replaced = b.replace_ids(ids, (5, 7), 2)
    graph = b.finish(y=b.embed(replaced, table, 3.5, case["columns"]))
    tokens = case["tokens"]
    run = GraphOnDevice.make(graph, Setting(weight_format=weight_format), tokens, tmp_path, devices(True))
    ids_in = torch.tensor([5, *[(17 * i) % case["vocabulary"] for i in range(1, tokens)]])
    found, expected = run.step({"ids": ids_in}, tokens)["y"]
    assert_close(found, expected)


def matmul_graph(rows: int, columns: int, epilogue: str) -> Graph:
    b = GraphBuilder("matmul")
    x = b.input("x", ("T", columns))
    y = b.linear(x, b.weight("w", (rows, columns), "matrix"))
    if epilogue == "scale":
        y = b.scale(y, 0.25)
    elif epilogue == "softcap":
        y = b.softcap(y, 0.5)
    elif epilogue == "glu":
        y = b.glu(y)
    elif epilogue == "gelu_mul":
        operand = b.input("operand", ("T", 3, rows))
        y = b.mul(b.gelu_tanh(y), b.pick(operand, 1))
    return b.finish(y=y)


def check_matmul(case: dict[str, int], epilogue: str, setting: Setting, folder: Path, device: Device) -> None:
    rows, columns, tokens = case["rows"], case["columns"], case["tokens"]
    run = GraphOnDevice.make(matmul_graph(rows, columns, epilogue), setting, tokens, folder, device)
    inputs = {"x": random(tokens, columns), "operand": random(tokens, 3, rows)}
    assert_close(*run.step(inputs, tokens)["y"])


@pytest.mark.parametrize("subgroups", [True, False], ids=["subgroups", "plain"])
@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("case", cases("matmul"))
def test_matmul_formats(
    case: dict[str, int], weight_format: WeightFormat, subgroups: bool, tmp_path: Path, devices: Devices
) -> None:
    for fill in (False, True):
        if fill or case["tokens"] <= 8:
            folder = tmp_path / str(fill)
            folder.mkdir()
            setting = Setting("f32", weight_format, fill)
            check_matmul(case, "none", setting, folder, devices(subgroups))


@pytest.mark.parametrize("fill", [False, True], ids=["decode", "fill"])
@pytest.mark.parametrize("epilogue", ["scale", "softcap", "glu", "gelu_mul"])
def test_matmul_epilogues(epilogue: str, fill: bool, tmp_path: Path, devices: Devices) -> None:
    case = {"rows": 104, "columns": 160, "tokens": 57 if fill else 5}
    check_matmul(case, epilogue, Setting("f32", "q4", fill), tmp_path, devices(True))


@pytest.mark.parametrize("fill", [False, True], ids=["decode", "fill"])
@pytest.mark.parametrize("epilogue", ["none", "glu", "gelu_mul"])
def test_matmul_of_a_weight_in_pieces(epilogue: str, fill: bool, tmp_path: Path, devices: Devices) -> None:
    """A weight of 1,002 rows of 72 f32 takes 288 KiB: five pieces of at most 64 KiB."""
    limits = Limits(maxStorageBufferBindingSize=65536)
    case = {"rows": 1002, "columns": 72, "tokens": 5}
    setting = Setting("f32", "f32", fill, limits=limits)
    check_matmul(case, epilogue, setting, tmp_path, devices(True))


@pytest.mark.parametrize("case", cases("glu"))
def test_glu(case: dict[str, int], tmp_path: Path, devices: Devices) -> None:
    """The separate kernel for a weight in pieces, here at least two."""
    width, tokens, columns = case["width"], case["tokens"], 32
    limits = Limits(maxStorageBufferBindingSize=2 * width * columns * 4 // 2)
    # A step of decoding kernels has at most 8 tokens.
    setting = Setting("f32", "f32", fill=tokens > 8, limits=limits)
    run = GraphOnDevice.make(matmul_graph(2 * width, columns, "glu"), setting, tokens, tmp_path, devices(True))
    assert any(name.split(".")[0] == "glu" for name in run.runner.plan.kernels)
    assert_close(*run.step({"x": random(tokens, columns)}, tokens)["y"])


@pytest.mark.parametrize("subgroups", [True, False], ids=["subgroups", "plain"])
@pytest.mark.parametrize("case", cases("add_norm"))
def test_add_norm(case: dict[str, int], subgroups: bool, tmp_path: Path, devices: Devices) -> None:
    width, tokens = case["width"], case["tokens"]
    b = GraphBuilder("add_norm")
    x, y = b.input("x", ("T", width)), b.input("y", ("T", width))
    normed_y = b.rms_norm(y, b.weight("norm", (width,), "vector"), EPS)
    total = b.mul(b.add(x, normed_y), b.weight("scalar", (1,), "vector"))
    graph = b.finish(sum=total, normed=b.rms_norm(total, b.weight("next", (width,), "vector"), EPS))
    run = GraphOnDevice.make(graph, Setting(), tokens, tmp_path, devices(subgroups))
    results = run.step({"x": 100 * random(tokens, width), "y": random(tokens, width)}, tokens)
    for name in ("sum", "normed"):
        assert_close(*results[name])


def test_norm_alone(tmp_path: Path, devices: Devices) -> None:
    b = GraphBuilder("norm")
    x = b.input("x", ("T", 160))
    graph = b.finish(y=b.rms_norm(x, b.weight("norm", (160,), "vector"), EPS))
    run = GraphOnDevice.make(graph, Setting(), 3, tmp_path, devices(True))
    assert_close(*run.step({"x": random(3, 160)}, 3)["y"])


def attention_graph(case: dict[str, Any]) -> Graph:
    """From a row of q, k and v to the attended heads, as in the model. Values without a norm come from a matrix after
    a norm."""
    heads, kv_heads, size = case["heads"], case["kv_heads"], case["size"]
    v_is_k = case.get("v_is_k", False)
    pairs, factor = case.get("rotated_pairs", size // 4), case.get("factor", 1.0)
    b = GraphBuilder("attention")
    width = (heads + kv_heads * (1 if v_is_k else 2)) * size
    qkv, positions = b.input("qkv", ("T", width)), b.input("positions", ("T",), "i32")
    if not case.get("v_normed", True):
        normed = b.rms_norm(qkv, b.weight("norm", (width,), "vector"), EPS)
        qkv = b.linear(normed, b.weight("qkv_proj", (width, width), "matrix"))

    def part(start: int, count: int) -> Value:
        return b.reshape(b.slice(qkv, start * size, (start + count) * size), "T", count, size)

    def norm(name: str) -> Any:
        return b.weight(name, (size,), "vector")

    q = b.rope(b.rms_norm(part(0, heads), norm("q_norm"), EPS), positions, 1e4, pairs, factor)
    raw_k = part(heads, kv_heads)
    v = raw_k if v_is_k else part(heads + kv_heads, kv_heads)
    k = b.rope(b.rms_norm(raw_k, norm("k_norm"), EPS), positions, 1e4, pairs, factor)
    window = case.get("window")
    cache = b.kv_write(k, b.rms_norm(v, None, EPS) if case.get("v_normed", True) else v, "kv", window)
    return b.finish(y=b.attention(q, cache, positions, 0.3, window))


def check_attention(case: dict[str, Any], setting: Setting, folder: Path, device: Device) -> Plan:
    """Run the case's steps and the reference. Return the plan."""
    graph = attention_graph(case)
    steps = case.get("steps", [5, 1, 3])
    run = GraphOnDevice.make(graph, setting, max(steps), folder, device)
    (width,) = graph.inputs[0].shape[1:]
    assert isinstance(width, int)
    for index, tokens in enumerate(steps):
        qkv = 2 * random(tokens, width + index)[:, :width].contiguous()
        found, expected = run.step({"qkv": qkv}, tokens)["y"]
        assert_close(found, expected, setting.activation)
    return run.runner.plan


@pytest.mark.parametrize("subgroups", [True, False], ids=["subgroups", "plain"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("case", [*cases("qkv_heads"), *cases("attention")])
def test_heads_and_attention(
    case: dict[str, Any], activation: Activation, subgroups: bool, tmp_path: Path, devices: Devices
) -> None:
    check_attention(case, Setting(activation), tmp_path, devices(subgroups))


@pytest.mark.parametrize("segments", [False, True], ids=["whole", "segments"])
@pytest.mark.parametrize("factor", [1e-12, 1e-4, 1e6, 1e12])
def test_no_key_or_value_is_too_large_or_too_small_for_a_cache_in_f16(
    factor: float, segments: bool, tmp_path: Path, devices: Devices
) -> None:
    """Keys are as large as their norm's weights; values without a norm as a matrix and the norm before it. Small
    queries compensate, so that scores stay."""
    case = {"heads": 4, "kv_heads": 2, "size": 64, "window": None, "v_normed": False}
    half = factor**0.5
    weights = Scaled({"k_norm": factor, "q_norm": 1 / factor, "norm": half, "qkv_proj": half})
    limits = Limits(maxStorageBufferBindingSize=65536) if segments else Limits()
    graph = attention_graph(case)
    run = GraphOnDevice.make(graph, Setting("f16", limits=limits), 64, tmp_path, devices(True), weights)
    (width,) = graph.inputs[0].shape[1:]
    assert isinstance(width, int)
    for index, tokens in enumerate([64, 1] * 5 if segments else [5, 1, 3]):
        found, expected = run.step({"qkv": random(tokens, width + index)[:, :width].contiguous()}, tokens)["y"]
        assert_close(found, expected, "f16", least=0.0)
    caches = [buffer for buffer in run.runner.plan.buffers.values() if isinstance(buffer, StateBuffer)]
    assert len(caches) == (4 if segments else 2)
    assert all(buffer.scale != 1.0 for buffer in caches)


@pytest.mark.parametrize("fill", [False, True], ids=["decode", "fill"])
@pytest.mark.parametrize("epilogue", ["scale", "glu", "gelu_mul"])
def test_products_beyond_f16(epilogue: str, fill: bool, tmp_path: Path, devices: Devices) -> None:
    """Also in an f16 plan, and with a matrix that reads the result."""
    b = GraphBuilder("beyond")
    x = b.input("x", ("T", 96))
    inner = b.linear(x, b.weight("w", (64, 96), "matrix"))
    if epilogue == "glu":
        inner = b.glu(inner)
    elif epilogue == "gelu_mul":
        inner = b.mul(b.gelu_tanh(inner), b.pick(b.input("operand", ("T", 3, 64)), 1))
    width = inner.shape[-1]
    assert isinstance(width, int)
    graph = b.finish(y=b.linear(inner, b.weight("down", (32, width), "matrix")))
    run = GraphOnDevice.make(graph, Setting("f16", "q8", fill), 5, tmp_path, devices(True))
    inputs = {"x": 1e6 * random(5, 96), "operand": 1e6 * random(5, 3, 64)}
    found, expected = run.step(inputs, 5)["y"]
    assert float(expected.abs().max()) > 65_504
    assert_close(found, expected)


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_normed_rows_beyond_f16(factor: float, tmp_path: Path, devices: Devices) -> None:
    """A norm with such weights, also in an f16 plan, and with a matrix that reads the result."""
    b = GraphBuilder("normed")
    x = b.input("x", ("T", 160))
    normed = b.rms_norm(x, b.weight("norm", (160,), "vector"), EPS)
    graph = b.finish(normed=normed, y=b.linear(normed, b.weight("w", (32, 160), "matrix")))
    run = GraphOnDevice.make(graph, Setting("f16"), 5, tmp_path, devices(True), Scaled({"norm": factor}))
    for found, expected in run.step({"x": random(5, 160)}, 5).values():
        assert_close(found, expected, least=0.0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_splits_of_a_cache_in_segments(activation: Activation, tmp_path: Path, devices: Devices) -> None:
    """Segments of 128 positions: a step crosses into the next one. Splits have several tiles, of which some are empty
    for the first tokens of a step."""
    steps = [7, *[8] * 10, 1, 8, 1, 1, *[8] * 20, 1]
    case = {"heads": 2, "kv_heads": 2 if activation == "f16" else 1, "size": 128, "window": None, "steps": steps}
    limits = Limits(maxStorageBufferBindingSize=65536)
    plan = check_attention(case, Setting(activation, limits=limits), tmp_path, devices(True))
    kernels = [one.kernel.split(".")[0] for one in plan.programs["run"].dispatches]
    assert kernels.count("attention-split") == 4
    assert kernels.count("attention-merge") == 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_token_at_a_time_from_the_first_on(activation: Activation, tmp_path: Path, devices: Devices) -> None:
    case = {"heads": 8, "kv_heads": 2, "size": 128, "window": 24, "steps": [1] * 50}
    check_attention(case, Setting(activation, fill_tokens=8), tmp_path, devices(True))


def test_attention_over_a_cache_in_segments(tmp_path: Path, devices: Devices) -> None:
    """Keys of 256 bytes per row: a binding of 16 KiB holds segments of 64 positions, and no splits of 64 tokens. So
    each segment continues from the carry of the one before."""
    case = {"heads": 2, "kv_heads": 1, "size": 64, "window": None, "steps": [7, 64, 1, 64, 50, 1, 1]}
    setting = Setting(limits=Limits(maxStorageBufferBindingSize=16384))
    plan = check_attention(case, setting, tmp_path, devices(True))
    assert any(".carried" in kernel for kernel in plan.kernels)


def test_positions_are_exact_to_the_end_of_the_context() -> None:
    from gemtab.backends.webgpu.rope_tables import angle_table, low_size

    context, theta, size, pairs = 262_144, 1e4, 256, 128
    table = angle_table(theta, size, pairs, context).astype("float64")
    low = low_size(context)
    for position in (1, 4_095, 131_071, 262_143):
        a, b = table[position % low], table[low + position // low]
        cos = a[:, 0] * b[:, 0] - a[:, 1] * b[:, 1]
        exact = torch.cos(position * theta ** (-2 * torch.arange(pairs, dtype=torch.float64) / size))
        assert abs(cos - exact.numpy()).max() < 2e-7
