"""Plays a conversation on every backend, and compares their choices."""

from collections.abc import Sequence
from pathlib import Path

import torch

from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.parity.greedy import MAX_TIE_SHARE, compare_greedy
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import arithmetic
from gemtab.quantize import DequantisedWeights
from playwright_tests.identity.backends import Backend, OnnxBackend, TabBackend, WgpuBackend, reference_turn
from playwright_tests.identity.conftest import IdentityTable, Tabs
from playwright_tests.identity.media import Turn, reference_rows
from playwright_tests.identity.models import Case

IN_F16 = ("wgpu f16", "Firefox")
"""The backends that run the plan in f16. SwiftShader, on which Chromium runs, has no f16."""


def play(
    case: Case, turns: Sequence[Turn], source: Path, folder: Path, site: str, tabs: Tabs, table: IdentityTable
) -> str:
    """Play `turns` on the bundle in `folder` of the checkpoint `source`, which `site` serves. Every backend encodes the
    same images and audio itself. Returns the line of the table. Fails at a token that differs and is not a near-tie."""
    spec = load_spec(source)
    weights = DequantisedWeights(CheckpointWeights(Checkpoint.open(source), spec), case.weights)
    reference = ReferenceText(spec.text, weights)
    routed = any(layer.moe for layer in spec.text.layers)
    exact, half = (arithmetic(activation, case.weights, routed).tie for activation in ("f32", "f16"))
    backends: dict[str, tuple[Backend, float]] = {
        "ONNX": (OnnxBackend(folder, case.weights), exact),
        "wgpu f32": (WgpuBackend(folder, "f32"), exact),
        "wgpu f16": (WgpuBackend(folder, "f16"), half),
        "Chromium": (TabBackend(tabs.chromium, site, case.name, "f32"), exact),
        "Firefox": (TabBackend(tabs.firefox, site, case.name, "f16"), half),
    }
    ties = dict.fromkeys(backends, 0)
    steps, length = 0, 0
    last: list[int] = []
    for turn in turns:
        prompt = [*last, *turn.prompt]
        rows = reference_rows(spec, weights, turn.media)
        wanted, logits = reference_turn(reference, prompt, rows, turn.steps)
        for name, (backend, margin) in backends.items():
            chosen = backend.turn(prompt, turn.media, wanted)
            match = compare_greedy(torch.stack(logits), chosen, margin)
            assert match.first_difference is None, f"{name}: chose {chosen} instead of {wanted}"
            ties[name] += match.ties
        steps, length, last = steps + turn.steps, length + len(turn.prompt) + turn.steps, wanted[-1:]
    for name, count in ties.items():
        # f16 rounds at every step and so meets more near-ties: they are judged over all cases. Where the model itself
        # rounds, each case is judged by how many that explains.
        share = MAX_TIE_SHARE
        if case.weights == "qat":
            share = 1 - arithmetic("f16" if name in IN_F16 else "f32", "qat").top1
        elif name in IN_F16:
            continue
        assert count <= share * steps, f"{name}: {count} near-ties in {steps} steps"
    return table.add(case.name, length, steps, ties, counted=case.weights != "qat")


def check_ties(table: IdentityTable) -> None:
    """Fail where there are too many near-ties over all cases, or where none ran."""
    assert table.steps, "no case ran"
    for name, count in table.ties.items():
        assert count <= MAX_TIE_SHARE * table.steps, f"{name}: {count} in {table.steps} steps"
