"""A sliding and a full layer of every published size, at true width and with all heads and experts: the reference
against transformers, and the plans and ONNX graphs of a bundle against the reference. In q4, and the small sizes also
pre-quantized.

Where a size shares keys and values, one more layer of each kind reads them. The vocabulary is small, so that the test
is about layers. Values are random.
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

from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.manifest import WeightFormat
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.export import export_bundle
from gemtab.model.spec import TextSpec
from gemtab.parity.backends import Continued, onnx_logits, reference_logits, webgpu_logits
from gemtab.parity.compare import Logits
from gemtab.parity.logits import compare
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import EXACT_POSITIONS, ROUNDED, arithmetic, transformers_max
from gemtab.synth import SIZES, published_config, write_checkpoint
from gemtab.synth.mobile import MOBILE_SIZES, as_mobile
from gemtab.synth.tokenizer import write_chat_files
from gemtab.synth.write import tensors_of
from tests.checkpoint.published import keep_tokens
from tests.coded import load_coded
from tests.silent import Silent
from tests.variants import FULL, SLIDING, load_transformers, transformers_logits

VOCABULARY = 2048
FIRST_TEXT_ID = 110
"""Special tokens come before."""

BEYOND_WINDOW = 40
"""Tokens by which the prompt for transformers is longer than the window."""

FILLED, DECODED = 40, 4
"""Tokens that a plan takes at once, and one by one."""

CONTEXT = 1024


@dataclass(frozen=True)
class Layers:
    """A size's layers as a checkpoint and as a bundle in a format; text: what the bundle is asked; stored: the
    reference's logits on the bundle's weights."""

    weights: WeightFormat
    checkpoint: Path
    bundle: Path
    text: Continued
    stored: Logits


CASES: list[tuple[str, WeightFormat]] = [*((size, "q4") for size in SIZES), *((size, "qat") for size in MOBILE_SIZES)]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def layers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layers]:
    (size, weights), folder = request.param, tmp_path_factory.mktemp("layers")
    checkpoint, bundle = folder / "checkpoint", folder / "bundle"
    write_layers(size, weights, checkpoint)
    export_bundle(checkpoint, bundle, weights, CONTEXT, force=False, progress=Silent(), inputs=["text"])
    ids = random_ids(FILLED + 1 + DECODED)
    text = Continued(ids[: FILLED + 1], ids[FILLED + 1 :])
    (stored,) = reference_logits(load_spec(bundle), BundleWeights(bundle, weights), [text])
    yield Layers(weights, checkpoint, bundle, text, stored)
    shutil.rmtree(folder)


def write_layers(size: str, weights: WeightFormat, folder: Path) -> None:
    folder.mkdir()
    config = layers_config(size)
    if weights == "qat":
        config = as_mobile(config, size)
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
    model = (load_coded if layers.weights == "qat" else load_transformers)(layers.checkpoint)
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
    if layers.weights == "qat":
        assert compare(expected, found).beyond(ROUNDED["f32"]) == []
        return
    limits = torch.tensor([transformers_max(position) for position in range(len(ids))])
    assert (largest < limits).all()
    assert len(set(expected.argmax(-1).tolist())) > len(ids) // 4, "the logits do not depend on the prompt enough"


def prompt_length(spec: TextSpec) -> int:
    """Where there are experts, or activations are rounded, angles must be as good as exact: an error of 1e-5
    chooses the other of two experts that are nearly as likely, and makes another of a value on an edge. The others have
    the same attention."""
    if spec.codes or any(layer.moe for layer in spec.layers):
        return EXACT_POSITIONS
    return BEYOND_WINDOW + max(layer.attention.window or 0 for layer in spec.layers)


@pytest.mark.parametrize("activation", ["f32", "f16"])
def test_plans_compute_what_the_reference_does(layers: Layers, activation: Activation) -> None:
    began = monotonic()
    found = webgpu_logits(TextEngine(layers.bundle, activation, host_embeddings="never"), [layers.text])
    assert_within(f"WebGPU {activation}", found, layers, activation, monotonic() - began)


def test_onnx_graphs_compute_what_the_reference_does(layers: Layers) -> None:
    began = monotonic()
    found = onnx_logits(layers.bundle, layers.weights, [layers.text])
    assert_within("ONNX", found, layers, "f32", monotonic() - began)


def assert_within(name: str, found: Sequence[Logits], layers: Layers, activation: Activation, seconds: float) -> None:
    expected = torch.from_numpy(layers.stored)
    error = compare(expected, torch.from_numpy(np.concatenate(found)))
    print(
        f"{name}: largest difference {error.max:.2g}, RMS {error.rms:.2g}, KL {abs(error.kl):.2g}, "
        f"of {_size(expected)}, in {seconds:.0f} s"
    )
    routed = any(layer.moe for layer in load_spec(layers.bundle).text.layers)
    assert error.beyond(arithmetic(activation, layers.weights, routed)) == []


def _size(logits: torch.Tensor) -> str:
    return f"logits of RMS {float(logits.square().mean().sqrt()):.2g}"
