"""Configs of random sizes: gemtab rejects them with an error that names the key, or kernels agree with the reference.

`GEMTAB_EXAMPLES=300 pytest tests/webgpu/test_random_configs.py` tries more of them.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Gemma4ForCausalLM, Gemma4TextConfig

from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.backends.webgpu.fuse_tower import fuse_tower
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Limits
from gemtab.checkpoint import load_spec
from gemtab.checkpoint.config import parse_config
from gemtab.errors import CheckpointError
from gemtab.export import export_bundle
from gemtab.model.spec import ModelSpec
from gemtab.model.towers import tower_graphs
from gemtab.parity.backends import Continued, reference_logits, webgpu_logits
from tests.silent import Silent
from tests.variants import _copy_tokenizer, load_transformers, randomise, transformers_logits
from tests.webgpu import random_configs
from tests.webgpu.towers import TowerOnDevice, patch_grid

Devices = Callable[[bool], Device]

FORMATS: tuple[WeightFormat, ...] = ("f32", "q4", "q8", "f16")

examples = settings(
    max_examples=int(os.environ.get("GEMTAB_EXAMPLES", "8")),
    deadline=None,
    database=None,
    derandomize="GEMTAB_EXAMPLES" not in os.environ,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare values in f32, which differ only by the order of sums."""
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(expected).max())))


def accepted(config: dict[str, Any]) -> ModelSpec | None:
    """Return the spec of the config; None if it is rejected with an error that names one of its keys."""
    try:
        return parse_config(config, "config.json")
    except CheckpointError as error:
        message = str(error)
        assert any(
            key in message for key in (*config, *config.get("vision_config", ()), *config.get("audio_config", ()))
        )
        event("rejected")
        return None


def write(config: dict[str, Any], folder: Path, seed: int) -> None:
    said = {key: value for key, value in config.items() if key != "model_type"}
    if config["model_type"] == "gemma3_text":
        model = Gemma3ForCausalLM(Gemma3TextConfig(**said))
    else:
        model = Gemma4ForCausalLM(Gemma4TextConfig(**said))
    randomise(model, seed, True)
    model.to(torch.bfloat16).save_pretrained(folder)
    _copy_tokenizer(folder)


texts = st.one_of(random_configs.gemma4_text(), random_configs.gemma3_text())


@examples
@given(config=texts, weights=st.sampled_from(FORMATS), small=st.booleans(), seed=st.integers(0, 2**31))
def test_text(config: dict[str, Any], weights: WeightFormat, small: bool, seed: int) -> None:
    if accepted(config) is None:
        return
    event("computed")
    limits = Limits(maxStorageBufferBindingSize=1 << 16) if small else Limits()
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name) / "source", Path(name) / "out"
        write(config, source, seed)
        export_bundle(source, out, weights, 128, False, Silent(), limits=limits)
        prompt = [(seed + 7 * index) % config["vocab_size"] for index in range(45)]
        text = Continued(prompt, [index % config["vocab_size"] for index in (5, 9, 3)])
        (found,) = webgpu_logits(TextEngine(out, "f32"), [text])
        (expected,) = reference_logits(load_spec(out), BundleWeights(out, weights), [text])
        assert_close(found, expected)
        if weights == "f32":
            theirs = transformers_logits(load_transformers(source), [*prompt, *text.continuation[:-1]])
            assert_close(found, theirs[-len(found) :].numpy())


def tower_config(part: str, tower: dict[str, Any], hidden: int) -> dict[str, Any]:
    unified = "unified" in tower["model_type"]
    text: dict[str, Any] = {"hidden_size": hidden, "num_hidden_layers": 1}
    return {"model_type": "gemma4_unified" if unified else "gemma4", "text_config": text, f"{part}_config": tower}


visions = st.one_of(random_configs.vision(), random_configs.vision(), random_configs.unified_vision())
audios = st.one_of(random_configs.audio(), random_configs.audio(), random_configs.unified_audio())
stored = st.sampled_from(FORMATS)


@examples
@given(tower=visions, hidden=random_configs.widths(20), weights=stored)
def test_images(devices: Devices, tower: dict[str, Any], hidden: int, weights: WeightFormat) -> None:
    spec = accepted(tower_config("vision", tower, hidden))
    if spec is None:
        return
    graph = tower_graphs(spec)["image"]
    fuse_tower(graph)
    unified = "unified" in tower["model_type"]
    side = tower["patch_size"] * (tower["pooling_kernel_size"] if unified else 1)
    cell = 1 if unified else tower["pooling_kernel_size"]
    positions = patch_grid(3 * cell, 2 * cell)
    pixels = torch.rand(len(positions), 3 * side**2, generator=torch.Generator().manual_seed(2))
    with tempfile.TemporaryDirectory() as name:
        run = TowerOnDevice.make(graph, Path(name), devices(True), weights, max_tokens=64)
        found, expected = run.run(pixel_values=pixels, pixel_position_ids=positions)
    assert_close(found.numpy(), expected.numpy())
    event("computed")


@examples
@given(tower=audios, hidden=random_configs.widths(20), weights=stored, frames=st.integers(1, 70))
def test_audio(devices: Devices, tower: dict[str, Any], hidden: int, weights: WeightFormat, frames: int) -> None:
    spec = accepted(tower_config("audio", tower, hidden))
    if spec is None:
        return
    graph = tower_graphs(spec)["audio"]
    fuse_tower(graph)
    width = tower["audio_embed_dim"] if "unified" in tower["model_type"] else tower["subsampling_conv_channels"][0]
    features = torch.randn(frames, width, generator=torch.Generator().manual_seed(3))
    with tempfile.TemporaryDirectory() as name:
        run = TowerOnDevice.make(graph, Path(name), devices(True), weights, max_tokens=128)
        found, expected = run.run(input_features=features)
    assert_close(found.numpy(), expected.numpy())
    event("computed")
