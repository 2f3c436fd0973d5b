"""Greedy tokens of conversations with pictures and sound are the same in the reference, ONNX, the Python executor and
Chromium, each of which makes its own rows of the same inputs."""

from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page

from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.parity.greedy import MAX_TIE_SHARE, compare_greedy
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import ACTIVATIONS
from gemtab.quantize import DequantisedWeights
from playwright_tests.identity.conftest import IdentityTable
from playwright_tests.identity.media import (
    ChromiumMedia,
    MediaBackend,
    OnnxMedia,
    WgpuMedia,
    Writer,
    reference_media_turn,
    reference_rows,
)
from playwright_tests.identity.models import MEDIA_CASES, Case


@pytest.mark.parametrize("case", MEDIA_CASES, ids=lambda case: case.name)
def test_greedy_tokens_after_media_are_the_same_everywhere(
    case: Case, identity_bundles: dict[str, Path], identity_site: str, identity_table: IdentityTable, page: Page
) -> None:
    folder = identity_bundles[case.name]
    source = case.source(folder.parent / "checkpoints")
    spec = load_spec(source)
    weights = DequantisedWeights(CheckpointWeights(Checkpoint.open(source), spec), case.weights)
    reference = ReferenceText(spec.text, weights)
    backends: dict[str, tuple[MediaBackend, float]] = {
        "ONNX": (OnnxMedia(folder, case.weights), ACTIVATIONS["f32"].tie),
        "wgpu f32": (WgpuMedia(folder, "f32"), ACTIVATIONS["f32"].tie),
        "wgpu f16": (WgpuMedia(folder, "f16"), ACTIVATIONS["f16"].tie),
        "Chromium": (ChromiumMedia(page, identity_site, case.name), ACTIVATIONS["f32"].tie),
    }
    ties = dict.fromkeys(backends, 0)
    steps, length = 0, 0
    last: list[int] = []
    for turn in Writer(spec).turns():
        prompt = [*last, *turn.prompt]
        rows = reference_rows(spec, weights, turn.media)
        wanted, logits = reference_media_turn(reference, prompt, rows, turn.steps)
        for name, (backend, margin) in backends.items():
            chosen = backend.turn(prompt, turn.media, wanted)
            match = compare_greedy(torch.stack(logits), chosen, margin)
            assert match.first_difference is None, f"{name}: chose {chosen} instead of {wanted}"
            ties[name] += match.ties
        steps, length, last = steps + turn.steps, length + len(turn.prompt) + turn.steps, wanted[-1:]
    identity_table.add(f"{case.name} with media", length, steps, ties)
    for name, count in ties.items():
        assert count <= MAX_TIE_SHARE * steps or name == "wgpu f16", f"{name}: {count} near-ties in {steps} steps"
