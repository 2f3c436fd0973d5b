"""Experts on the GPU against the reference: routing, matrices of the chosen experts, the sum of their outputs."""

from pathlib import Path

import pytest
import torch

from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Limits
from gemtab.graph import Graph, GraphBuilder
from tests.webgpu.graphs import GraphOnDevice, Setting, assert_close
from tests.webgpu.test_kernels import EPS, FORMATS, Devices, cases, random

Case = dict[str, int]
MIDDLE: Case = {"experts": 16, "active": 4, "hidden": 64, "intermediate": 48, "tokens": 57}


def experts_graph(case: Case) -> Graph:
    """A layer's experts beside an MLP. Scores and the output of the MLP are inputs."""
    b = GraphBuilder("experts")
    hidden, experts, intermediate = case["hidden"], case["experts"], case["intermediate"]
    x, dense = b.input("x", ("T", hidden)), b.input("dense", ("T", hidden))
    scores = b.input("scores", ("T", experts))
    weights, ids = b.route_top_k(scores, b.weight("scale", (experts,), "vector"), case["active"])
    up = b.weight("up", (experts, 2 * intermediate, hidden), "experts")
    down = b.weight("down", (experts, hidden, intermediate), "experts")
    slots = b.expert_linear(b.glu(b.expert_linear(x, ids, up)), ids, down)
    norms = [b.weight(f"norm_{i}", (hidden,), "vector") for i in range(2)]
    mixed = b.rms_norm(b.weighted_sum(slots, weights), norms[1], EPS)
    return b.finish(y=b.add(b.rms_norm(dense, norms[0], EPS), mixed))


def scores_of(routing: str, case: Case) -> torch.Tensor:
    """Scores that send every token to its own experts, all to the same experts, or all but one to the same."""
    scores = 3 * random(case["tokens"], case["experts"])
    if routing != "spread":
        scores[:] = scores[0].clone()
    if routing == "one apart":
        scores[-1] = -scores[-1]
    return scores


def check(
    case: Case,
    routing: str,
    setting: Setting,
    folder: Path,
    devices: Devices,
    subgroups: bool = True,
    size: float = 1.0,
) -> None:
    folder.mkdir(exist_ok=True)
    tokens, hidden = case["tokens"], case["hidden"]
    run = GraphOnDevice.make(experts_graph(case), setting, tokens, folder, devices(subgroups))
    inputs = {
        "x": size * random(tokens, hidden),
        "dense": random(tokens, hidden) + 1,
        "scores": scores_of(routing, case),
    }
    found, expected = run.step(inputs, tokens)["y"]
    assert_close(found, expected)


@pytest.mark.parametrize("case", cases("experts"))
def test_experts(case: Case, tmp_path: Path, devices: Devices) -> None:
    for fill in (False, True):
        if fill or case["tokens"] <= 8:
            check(case, "spread", Setting("f32", "q8", fill), tmp_path / str(fill), devices)


@pytest.mark.parametrize("subgroups", [True, False], ids=["subgroups", "plain"])
@pytest.mark.parametrize("weight_format", FORMATS)
def test_formats(weight_format: WeightFormat, subgroups: bool, tmp_path: Path, devices: Devices) -> None:
    for fill in (False, True):
        case = MIDDLE if fill else {**MIDDLE, "tokens": 3}
        check(case, "spread", Setting("f32", weight_format, fill), tmp_path / str(fill), devices, subgroups)


@pytest.mark.parametrize("fill", [False, True], ids=["decode", "fill"])
@pytest.mark.parametrize("routing", ["all the same", "one apart"])
def test_skewed_routing(routing: str, fill: bool, tmp_path: Path, devices: Devices) -> None:
    """All tokens choose the same experts: many tiles for these experts, none for others."""
    case = {**MIDDLE, "tokens": 100 if fill else 5}
    check(case, routing, Setting("f32", "q4", fill), tmp_path, devices)


@pytest.mark.parametrize("fill", [False, True], ids=["decode", "fill"])
def test_experts_beyond_f16(fill: bool, tmp_path: Path, devices: Devices) -> None:
    """x is so large that the inner values of an expert exceed f16, in an f16 plan too."""
    check({**MIDDLE, "tokens": 20 if fill else 4}, "spread", Setting("f16", "q4", fill), tmp_path, devices, size=1e6)


@pytest.mark.parametrize("fill", [False, True], ids=["decode", "fill"])
def test_experts_in_pieces(fill: bool, tmp_path: Path, devices: Devices) -> None:
    """An expert's two matrices take 24 and 12 KiB: pieces of two and of five experts, the last ones smaller."""
    setting = Setting("f32", "f32", fill, limits=Limits(maxStorageBufferBindingSize=65536))
    check({**MIDDLE, "tokens": 20 if fill else 4}, "spread", setting, tmp_path, devices)


def test_norms_and_scores_of_a_router(tmp_path: Path, devices: Devices) -> None:
    """One kernel computes the router's norm of the residual and the experts' norm."""
    hidden, experts = 96, 24
    b = GraphBuilder("router")
    x = b.input("x", ("T", hidden))
    normed = b.rms_norm(x, b.weight("norm", (hidden,), "vector"), EPS)
    routed = b.scale(b.mul(b.rms_norm(x, None, EPS), b.weight("scale", (hidden,), "vector")), hidden**-0.5)
    graph = b.finish(normed=normed, scores=b.linear(routed, b.weight("router.proj", (experts, hidden), "matrix")))
    run = GraphOnDevice.make(graph, Setting(), 5, tmp_path, devices(True))
    assert len(run.runner.plan.programs["run"].dispatches) == 3, "norms, scores, and the step's end"
    results = run.step({"x": 30 * random(5, hidden)}, 5)
    assert_close(*results["normed"])
    assert_close(*results["scores"])
