"""A sliding and a full layer of every published size, at true width and with all heads and experts: the reference
against transformers, and the plans and ONNX graphs of a q4 bundle against the reference.

Where a size shares keys and values, one more layer of each kind reads them. The vocabulary is small, so that layers are
what is tested; values are random.
"""

import gc
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
import torch

from gemtab.backends.webgpu.executor import Executor
from gemtab.backends.webgpu.lower import Activation
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.export import export_bundle
from gemtab.model.spec import TextSpec
from gemtab.parity.backends import Continued, onnx_logits, reference_logits, webgpu_logits
from gemtab.parity.compare import Logits
from gemtab.parity.logits import compare
from gemtab.parity.stored import BundleWeights
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import TRANSFORMERS_MAX, arithmetic
from gemtab.synth import SIZES, published_config, write_checkpoint
from gemtab.synth.tokenizer import write_chat_files
from gemtab.synth.write import tensors_of
from tests.checkpoint.published import keep_tokens
from tests.silent import Silent
from tests.variants import FULL, SLIDING, load_transformers, transformers_logits

VOCABULARY = 2048
FIRST_TEXT_ID = 110
"""Special tokens come before."""

BEYOND_WINDOW = 40
"""Tokens by which the prompt for transformers is longer than the window."""

EXACT_POSITIONS = 64
"""Positions up to which transformers' angles are as good as exact. It takes them in f32, whose error grows with the
position, and scores follow: see tests/reference/test_rope.py."""

FILLED, DECODED = 40, 4
"""Tokens that a plan takes at once, and one by one."""

CONTEXT = 1024


@dataclass(frozen=True)
class Layers:
    """A size's layers as a checkpoint in bf16 and as a bundle in q4; text: what the bundle is asked; stored: the
    reference's logits on the bundle's weights."""

    checkpoint: Path
    bundle: Path
    text: Continued
    stored: Logits


@pytest.fixture(scope="module", params=SIZES)
def layers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layers]:
    folder = tmp_path_factory.mktemp("layers")
    checkpoint, bundle = folder / "checkpoint", folder / "bundle"
    write_layers(request.param, checkpoint)
    export_bundle(checkpoint, bundle, "q4", CONTEXT, force=False, progress=Silent(), inputs=["text"])
    ids = random_ids(FILLED + 1 + DECODED)
    text = Continued(ids[: FILLED + 1], ids[FILLED + 1 :])
    (stored,) = reference_logits(load_spec(bundle), BundleWeights(bundle, "q4"), [text])
    yield Layers(checkpoint, bundle, text, stored)
    shutil.rmtree(folder)


def write_layers(size: str, folder: Path) -> None:
    folder.mkdir()
    config = layers_config(size)
    write_checkpoint(config, tensors_of(config), folder, lambda _: None)
    write_chat_files(folder, config)


def layers_config(size: str) -> dict[str, Any]:
    config = {**published_config(size), "vision_config": None, "audio_config": None}
    text = config["text_config"]
    shared = 2 if text["num_kv_shared_layers"] else 0
    types = [SLIDING, FULL] * (2 if shared else 1)
    text.update(layer_types=types, num_hidden_layers=len(types), num_kv_shared_layers=shared)
    keep_tokens(config, VOCABULARY)
    return config


def random_ids(count: int) -> list[int]:
    generator = torch.Generator().manual_seed(count)
    ids: list[int] = torch.randint(FIRST_TEXT_ID, VOCABULARY - 10, (count,), generator=generator).tolist()
    return ids


def test_the_reference_computes_what_transformers_does(layers: Layers) -> None:
    """A prompt longer than the window, so that sliding layers have left tokens behind."""
    spec = load_spec(layers.checkpoint)
    ids = random_ids(prompt_length(spec.text))
    model = load_transformers(layers.checkpoint)
    expected = transformers_logits(model, ids)
    del model
    gc.collect()
    weights = CheckpointWeights(Checkpoint.open(layers.checkpoint), spec)
    found = ReferenceText(spec.text, weights, layerwise=True).logits(ids)
    largest = (found - expected).abs().amax(-1)
    print(
        f"reference, {len(ids)} tokens: largest difference {largest[:EXACT_POSITIONS].max():.2g} in the first "
        f"{EXACT_POSITIONS}, {largest.max():.2g} in all, of {_size(expected)}"
    )
    limits = TRANSFORMERS_MAX * (torch.arange(len(ids)) / EXACT_POSITIONS).clamp(min=1)
    assert (largest < limits).all()
    assert len(set(expected.argmax(-1).tolist())) > len(ids) // 4, "the logits do not depend on the prompt enough"


def prompt_length(spec: TextSpec) -> int:
    """Where there are experts, angles must be as good as exact: two that are nearly as likely would change places by an
    error of 1e-5, and every token after that see another. Their attention is that of 12B and 31B."""
    if any(layer.moe for layer in spec.layers):
        return EXACT_POSITIONS
    return BEYOND_WINDOW + max(layer.attention.window or 0 for layer in spec.layers)


@pytest.mark.parametrize("activation", ["f32", "f16"])
def test_plans_compute_what_the_reference_does(layers: Layers, activation: Activation) -> None:
    began = monotonic()
    found = webgpu_logits(Executor(layers.bundle, activation, host_table="never"), [layers.text])
    assert_within(f"WebGPU {activation}", found, layers.stored, activation, monotonic() - began)


def test_onnx_graphs_compute_what_the_reference_does(layers: Layers) -> None:
    began = monotonic()
    found = onnx_logits(layers.bundle, "q4", [layers.text])
    assert_within("ONNX", found, layers.stored, "f32", monotonic() - began)


def assert_within(name: str, found: Sequence[Logits], stored: Logits, activation: Activation, seconds: float) -> None:
    expected = torch.from_numpy(stored)
    error = compare(expected, torch.from_numpy(np.concatenate(found)))
    print(
        f"{name}: largest difference {error.max:.2g}, RMS {error.rms:.2g}, KL {abs(error.kl):.2g}, "
        f"of {_size(expected)}, in {seconds:.0f} s"
    )
    assert error.beyond(arithmetic(activation, "q4")) == []


def _size(logits: torch.Tensor) -> str:
    return f"logits of RMS {float(logits.square().mean().sqrt()):.2g}"
