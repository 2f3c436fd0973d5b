"""The kernels of towers, and towers' forms of other kernels, against the reference op, with and without subgroups."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.fuse_tower import fuse_tower
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Limits
from gemtab.errors import CheckpointError
from gemtab.graph import GraphBuilder, Value, Weight
from tests.webgpu.graphs import Tensors, assert_close
from tests.webgpu.test_kernels import EPS, FORMATS, cases, random
from tests.webgpu.towers import TowerOnDevice, patch_grid

Devices = Callable[[bool], Device]
SUBGROUPS = pytest.mark.parametrize("subgroups", [True, False], ids=["subgroups", "plain"])


def vector(b: GraphBuilder, name: str, *shape: int) -> Weight:
    return b.weight(name, shape, "vector")


def narrowed(b: GraphBuilder, x: Value) -> Value:
    """x @ matrix.T."""
    width = x.shape[-1]
    assert isinstance(width, int)
    return b.linear(x, b.weight("narrowed", (8, width), "matrix"))


# --- matrices ---------------------------------------------------------------------------------------------


def bounds(low: float, high: float, prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}.low": torch.tensor([low]), f"{prefix}.high": torch.tensor([high])}


def clip(b: GraphBuilder, x: Value, prefix: str) -> Value:
    return b.clip(x, b.weight(f"{prefix}.low", (1,), "bound"), b.weight(f"{prefix}.high", (1,), "bound"))


def matrix_graph(b: GraphBuilder, kind: str, rows: int, columns: int) -> Value:
    """A matrix with the ops that may come before and after it, three rows per token."""
    x, matrix = b.input("x", ("3T", columns)), b.weight("w", (rows, columns), "matrix")
    if kind == "affine":
        return b.linear(b.affine(x, 2.0, -1.0), matrix)
    if kind == "bias":
        return b.add_vector(b.linear(x, matrix), vector(b, "bias", rows))
    # The operand of gelu_mul, which must be computed before the matrix.
    up = clip(b, b.linear(clip(b, x, "up_in"), b.weight("up", (rows, columns), "matrix")), "up_out")
    y = clip(b, b.linear(clip(b, x, "in"), matrix), "out")
    if kind == "silu":
        return b.silu(y)
    if kind == "sigmoid_glu":
        return b.sigmoid_glu(y)
    if kind == "gelu_mul":
        return b.mul(b.gelu_tanh(y), up)
    return y


KINDS = ["affine", "bias", "clip", "silu", "sigmoid_glu", "gelu_mul"]


def check_matrix(
    kind: str,
    folder: Path,
    device: Device,
    weight_format: WeightFormat = "f32",
    limits: Limits | None = None,
    case: tuple[int, int, int] = (104, 72, 19),
) -> None:
    rows, columns, tokens = case
    b = GraphBuilder("matrix")
    graph = b.finish(y=matrix_graph(b, kind, rows, columns))
    # Bounds that clip many normal values. One bound of the second matrix is infinite.
    made = {**bounds(-0.5, 1.0, "in"), **bounds(-0.25, 0.5, "out")}
    made |= {**bounds(-float("inf"), 1.5, "up_in"), **bounds(-0.75, float("inf"), "up_out")}
    run = TowerOnDevice.make(graph, folder, device, weight_format, limits, Tensors(made))
    found, expected = run.run(x=random(3 * tokens, columns))
    assert_close(found, expected)


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_matrices(kind: str, weight_format: WeightFormat, tmp_path: Path, devices: Devices) -> None:
    check_matrix(kind, tmp_path, devices(True), weight_format)


@pytest.mark.parametrize("case", [(2, 4, 1), (1002, 160, 7), (34, 4304, 11)])
def test_matrices_of_awkward_sizes(case: tuple[int, int, int], tmp_path: Path, devices: Devices) -> None:
    check_matrix("sigmoid_glu", tmp_path, devices(True), case=case)


@pytest.mark.parametrize("kind", KINDS)
def test_matrices_in_pieces(kind: str, tmp_path: Path, devices: Devices) -> None:
    """1,002 rows of 72 f32 take 288 KiB: five pieces of at most 64 KiB."""
    limits = Limits(maxStorageBufferBindingSize=65536)
    check_matrix(kind, tmp_path, devices(True), limits=limits, case=(1002, 72, 5))


# --- norms ------------------------------------------------------------------------------------------------


@SUBGROUPS
@pytest.mark.parametrize("case", cases("add_norm"))
def test_guarded_sums(case: dict[str, int], subgroups: bool, tmp_path: Path, devices: Devices) -> None:
    """s = x + 0.5 * norm(clamp(y)), norm(clamp(s)), and the plain sum of both."""
    width, tokens = case["width"], case["tokens"]
    b = GraphBuilder("guarded")
    x, y = b.input("x", ("4T", width)), b.input("y", ("4T", width))
    normed_y = b.rms_norm(b.clamp(y, 1.0), vector(b, "norm", width), EPS)
    total = b.add(x, b.scale(normed_y, 0.5))
    normed = b.rms_norm(b.clamp(total, 1.5), vector(b, "next", width), EPS)
    graph = b.finish(y=narrowed(b, b.rms_norm(b.add(total, normed), None, EPS)))
    run = TowerOnDevice.make(graph, tmp_path, devices(subgroups))
    found, expected = run.run(x=random(4 * tokens, width), y=3 * random(4 * tokens, width + 1)[:, :width].contiguous())
    assert_close(found, expected)


@SUBGROUPS
@pytest.mark.parametrize("case", cases("layer_norm"))
def test_layer_norm(case: dict[str, int], subgroups: bool, tmp_path: Path, devices: Devices) -> None:
    """Two layer norms. The mean is large compared with the deviation."""
    width, tokens = case["width"], case["tokens"]
    b = GraphBuilder("layer_norm")
    x = b.input("x", ("T", width))
    for name in ("first", "second"):
        x = b.layer_norm(x, vector(b, f"{name}.weight", width), vector(b, f"{name}.bias", width), 1e-5)
    run = TowerOnDevice.make(b.finish(y=narrowed(b, x)), tmp_path, devices(subgroups))
    found, expected = run.run(x=10 + random(tokens, width))
    assert_close(found, expected)


# --- images ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("limits", [Limits(), Limits(maxStorageBufferBindingSize=1 << 16)], ids=["whole", "pieces"])
@pytest.mark.parametrize("case", cases("embed_positions"))
def test_embed_positions(
    case: dict[str, int], limits: Limits, weight_format: WeightFormat, tmp_path: Path, devices: Devices
) -> None:
    """With the rows of both axes one after the other, and alternating, as in the model without a tower."""
    positions = patch_grid(case["across"], case["down"])
    for name, steps in (("apart", (1, case["positions"])), ("in_turn", (2, 1))):
        folder = tmp_path / name
        folder.mkdir()
        b = GraphBuilder("embed_positions")
        x, at = b.input("x", ("T", case["width"])), b.input("positions", ("T", 2), "i32")
        table = b.weight("table", (2 * case["positions"], case["width"]), "table")
        graph = b.finish(y=b.rms_norm(b.add(x, b.embed_positions(at, table, *steps)), None, EPS))
        run = TowerOnDevice.make(graph, folder, devices(True), weight_format=weight_format, limits=limits)
        found, expected = run.run(x=random(len(positions), case["width"]), positions=positions)
        assert_close(found, expected)


@SUBGROUPS
@pytest.mark.parametrize("case", [*cases("rope_heads"), *cases("full_attention")])
def test_heads_and_full_attention(case: dict[str, int], subgroups: bool, tmp_path: Path, devices: Devices) -> None:
    heads, kv_heads, size = case["heads"], case["kv_heads"], case["size"]
    positions = patch_grid(case["across"], case["down"])
    b = GraphBuilder("full_attention")
    at = b.input("positions", ("T", 2), "i32")
    q, k, v = (b.input(name, ("T", count, size)) for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)))
    q = b.axial_rope(b.rms_norm(q, vector(b, "q_norm", size), EPS), at, 100.0)
    k = b.axial_rope(b.rms_norm(k, vector(b, "k_norm", size), EPS), at, 100.0)
    graph = b.finish(y=b.full_attention(q, k, b.rms_norm(v, None, EPS), 0.3))
    run = TowerOnDevice.make(graph, tmp_path, devices(subgroups), max_tokens=len(positions))
    shapes = {"q": (heads, size), "k": (kv_heads, size), "v": (kv_heads + 1, size)}
    inputs = {name: 2 * random(len(positions), *shape) for name, shape in shapes.items()}
    inputs["v"] = inputs["v"][:, 1:].contiguous()
    found, expected = run.run(positions=positions, **inputs)
    assert_close(found, expected)


@pytest.mark.parametrize("standardised", [True, False])
@pytest.mark.parametrize("case", cases("pool"))
def test_pool(case: dict[str, int], standardised: bool, tmp_path: Path, devices: Devices) -> None:
    """Also with values beyond f16."""
    side, width = case["side"], case["width"]
    positions = patch_grid(case["across"] * side, case["down"] * side)
    b = GraphBuilder("pool")
    rows = f"{side**2}T"
    x, at = b.input("x", (rows, width)), b.input("positions", (rows, 2), "i32")
    y = b.scale(b.pool(x, at, side, "T"), 30.0)
    if standardised:
        y = b.standardise(y, vector(b, "mean", width), vector(b, "deviation", width))
    run = TowerOnDevice.make(b.finish(y=y), tmp_path, devices(True))
    found, expected = run.run(x=20_000 * random(len(positions), width), positions=positions)
    assert float(expected.abs().max()) > 65_504
    assert_close(found, expected)


# --- audio ------------------------------------------------------------------------------------------------


@SUBGROUPS
@pytest.mark.parametrize("case", cases("subsample"))
def test_subsample(case: dict[str, int], subgroups: bool, tmp_path: Path, devices: Devices) -> None:
    """Both convolutions. Rows of padding of the second's input would not be 0 if they were computed."""
    bins, frames = case["bins"], case["frames"]
    b = GraphBuilder("subsample")
    x = b.reshape(b.input("x", ("4T", bins)), "4T", bins, 1)
    kernels = {}
    for rows, inputs, channels in (("2T", 1, case["first"]), ("T", case["first"], case["second"])):
        kernel = vector(b, f"kernel{rows}", channels, inputs, 3, 3)
        kernels[kernel.name] = random(*kernel.shape) / (9 * inputs) ** 0.5
        x = b.relu(b.layer_norm(b.subsample(x, kernel, rows), vector(b, f"norm{rows}", channels), None, EPS))
    run = TowerOnDevice.make(b.finish(y=x), tmp_path, devices(subgroups), weights=Tensors(kernels))
    found, expected = run.run(x=random(frames, bins))
    assert_close(found, expected)


@SUBGROUPS
@pytest.mark.parametrize("case", cases("depthwise"))
def test_depthwise(case: dict[str, int], subgroups: bool, tmp_path: Path, devices: Devices) -> None:
    width = case["width"]
    b = GraphBuilder("depthwise")
    y = b.causal_depthwise(b.input("x", ("T", width)), vector(b, "kernel", width, 1, case["taps"]))
    graph = b.finish(y=b.silu(b.rms_norm(b.clamp(y, 1.5), vector(b, "norm", width), EPS)))
    run = TowerOnDevice.make(graph, tmp_path, devices(subgroups))
    found, expected = run.run(x=random(case["tokens"], width))
    assert_close(found, expected)


@pytest.mark.parametrize("case", cases("local_attention"))
def test_local_attention(case: dict[str, int], tmp_path: Path, devices: Devices) -> None:
    """The encodings of distances go through a matrix. Their number of rows does not depend on T."""
    heads, size, tokens = case["heads"], case["size"], case["tokens"]
    width = heads * size
    b = GraphBuilder("local_attention")
    relative = b.linear(b.sinusoids(case["distances"], width), b.weight("relative", (width, width), "matrix"))
    q, k, v = (b.input(name, ("T", heads, size)) for name in "qkv")
    attended = b.local_attention(
        q, k, v, relative, vector(b, "dim_scale", size), window=case["window"], scale=0.2, key_scale=1.9, cap=5.0
    )
    run = TowerOnDevice.make(b.finish(y=attended), tmp_path, devices(True))
    inputs = {name: random(tokens, heads, size + i)[..., :size].contiguous() for i, name in enumerate("qkv")}
    found, expected = run.run(**inputs)
    assert_close(found, expected)


# --- rejections -------------------------------------------------------------------------------------------


def lonely(b: GraphBuilder, op: str) -> Value:
    x: Any = b.input("x", ("T", 8))
    heads = b.rms_norm(b.input("heads", ("T", 1, 132)), None, EPS)
    return {
        "clamp": lambda: b.clamp(x, 1.0),
        "clip": lambda: clip(b, x, "in"),
        "relu": lambda: b.relu(x),
        "causal_depthwise": lambda: b.causal_depthwise(x, vector(b, "kernel", 8, 1, 3)),
        "layer_norm": lambda: b.layer_norm(x, vector(b, "weight", 8), None, EPS),
        # A tile of such keys and values does not fit workgroup memory.
        "full_attention": lambda: b.full_attention(heads, heads, heads, 1.0),
    }[op]()


@pytest.mark.parametrize("op", ["clamp", "clip", "relu", "causal_depthwise", "layer_norm", "full_attention"])
def test_ops_that_fit_no_pattern_are_rejected_by_an_error_that_names_them(op: str) -> None:
    b = GraphBuilder("lonely")
    with b.at("here"):
        y = lonely(b, op)
    with pytest.raises(CheckpointError, match=rf"The op {op} at here has no WebGPU kernel"):
        fuse_tower(b.finish(y=y))
