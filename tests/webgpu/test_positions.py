"""Large positions, where transformers' f32 angles are inexact: reference and plans against exact angles."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gemtab.backends.reference import KV
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.plan import Limits, StateBuffer, evaluate
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.export import export_bundle
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import ACTIVATIONS, TRANSFORMERS_MAX, transformers_max
from tests.exact_angles import logits_after, with_exact_angles
from tests.silent import Silent
from tests.variants import load_transformers, transformers_logits, variant

Devices = Callable[[bool], Device]
CONTEXT = 131_072
LENGTH = 40
LIMITS = Limits(maxStorageBufferBindingSize=4 << 20)
"""Segments of 16,384 positions in f32: llvmpipe stops the loops of an invocation after 65,535 iterations."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The features and the context of E2B."""
    folder = variant("softcap_off", tmp_path_factory.mktemp("far") / "checkpoint", with_tokenizer=True)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = CONTEXT
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> Path:
    folder = checkpoint.parent / "bundle"
    export_bundle(checkpoint, folder, "f32", CONTEXT, False, Silent(), limits=LIMITS)
    return folder


def ids_of(count: int) -> list[int]:
    return torch.randint(30, 370, (count,), generator=torch.Generator().manual_seed(3)).tolist()


def past_of(checkpoint: Path, count: int) -> dict[int, KV]:
    """Random keys and values of all positions, by layer."""
    spec = load_spec(checkpoint)
    text = ReferenceText(spec.text, CheckpointWeights(Checkpoint.open(checkpoint), spec))
    text.logits([0])
    generator = torch.Generator().manual_seed(4)

    def drawn(like: torch.Tensor, size: float) -> torch.Tensor:
        return size * torch.randn(count, *like.shape[1:], generator=generator).clamp(-3, 3)

    return {int(name.split(".")[1]): KV(drawn(kv.k, 0.6), drawn(kv.v, 1.0)) for name, kv in text.caches.items()}


def reference_after(checkpoint: Path, ids: list[int], past: dict[int, KV]) -> torch.Tensor:
    spec = load_spec(checkpoint)
    text = ReferenceText(spec.text, CheckpointWeights(Checkpoint.open(checkpoint), spec))
    text.caches = {f"kv.{layer}": kv for layer, kv in past.items()}
    text.position = len(past[0].k)
    return text.logits(ids)


def plan_after(executor: TextEngine, ids: list[int], past: dict[int, KV]) -> torch.Tensor:
    """The last token's logits."""
    runner, count = executor.runner, len(past[0].k)
    for name, buffer in runner.plan.buffers.items():
        if isinstance(buffer, StateBuffer):
            layer, part, *segment = name.removeprefix("kv.").split(":")
            kv = past[int(layer)]
            rows = buffer.scale * (kv.k if part == "keys" else kv.v)
            if buffer.ring:
                last = torch.arange(max(0, count - buffer.ring.rows), count)
                rows = rows[last[torch.argsort(last % buffer.ring.rows)]]
            half = runner.plan.activation == "f16"
            row_bytes = rows[0].numel() * (2 if half else 4)
            first = int(segment[0]) if segment else 0
            size = evaluate(buffer.bytes, {"C": executor.context, "P": 0, "T": 1})
            rows = rows[first : first + size // row_bytes]
            if len(rows):
                runner.write(name, rows.numpy().astype(np.float16 if half else np.float32))
    executor.caches.advance(count)
    executor.fill(ids[:-1])
    executor.decode(ids[-1])
    return torch.from_numpy(executor.read_logits()[0])


@pytest.mark.parametrize("begin", [20_000, CONTEXT - LENGTH])
def test_positions_far_on_are_exact(checkpoint: Path, bundle: Path, begin: int, devices: Devices) -> None:
    ids, past = ids_of(LENGTH), past_of(checkpoint, begin)
    model = load_transformers(checkpoint)
    rounded = logits_after(model, ids, past)
    exact = logits_after(with_exact_angles(model), ids, past)
    found = reference_after(checkpoint, ids, past)
    assert float((found - exact).abs().max()) < TRANSFORMERS_MAX
    theirs = float((found - rounded).abs().max())
    assert 10 * TRANSFORMERS_MAX < theirs < transformers_max(begin + LENGTH), "transformers' own angles"
    for plan in ("f32", "f16"):
        last = plan_after(TextEngine(bundle, plan, device=devices(True)), ids, past)
        error = float((last - exact[-1]).abs().max())
        assert error < ACTIVATIONS[plan].max


def test_a_long_prompt_is_exact(checkpoint: Path, bundle: Path, devices: Devices) -> None:
    """Without empty positions: q and k far apart are both rotated by large angles."""
    ids = ids_of(1_500)
    wanted = transformers_logits(with_exact_angles(load_transformers(checkpoint)), ids)
    spec = load_spec(checkpoint)
    found = ReferenceText(spec.text, CheckpointWeights(Checkpoint.open(checkpoint), spec)).logits(ids)
    assert float((found - wanted).abs().max()) < TRANSFORMERS_MAX
    executor = TextEngine(bundle, "f32", device=devices(True))
    executor.fill(ids[:-1])
    executor.decode(ids[-1])
    assert float((torch.from_numpy(executor.read_logits()[0]) - wanted[-1]).abs().max()) < ACTIVATIONS["f32"].max
