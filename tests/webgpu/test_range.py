"""Whole models with weights so large or small that inner values exceed f16, before a norm removes their magnitude. The
f16 plan is as near to transformers as with ordinary weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.folder import load_plan
from gemtab.export import export_bundle
from gemtab.parity.backends import Continued, webgpu_logits
from gemtab.parity.edge import EdgeWatch
from gemtab.parity.logits import compare
from gemtab.parity.tolerances import ACTIVATIONS, ROUTED_F16, arithmetic
from tests.silent import Silent
from tests.variants import load_transformers, transformers_logits, variant

Devices = Callable[[bool], Device]
LARGE, SMALL = 2.0**20, 2.0**-20
PROMPT, STEPS = 40, 8

SITES = [
    ("softcap_off", "up_proj o_proj k_proj v_proj per_layer_projection"),
    ("softcap_off", "gate_proj q_norm per_layer_input_gate post_attention_layernorm"),
    ("softcap_off", "input_layernorm pre_feedforward_layernorm"),
    ("moe", "experts.gate_up_proj"),
    ("moe", "experts.down_proj pre_feedforward_layernorm_2"),
    ("gemma3", "v_proj up_proj"),
    ("gemma3", "v_proj input_layernorm"),
]
"""Weights of E2B, 26B-A4B and Gemma 3, whose values go through no norm. Keys alone are not scaled: attention would see
one token, and the last bit of f16 would decide between equal scores."""


def scaled(name: str, site: str, factor: float, folder: Path, seed: int = 0) -> Path:
    """A variant with these weights of all layers multiplied. A norm of Gemma 3 multiplies by 1 + its weight."""
    variant(name, folder, with_tokenizer=True, seed=seed)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    for key, tensor in tensors.items():
        if any(part in key.split("layers.")[-1] for part in site.split()) and "layers." in key:
            one = 1.0 if name == "gemma3" and "norm" in key else 0.0
            tensors[key] = ((tensor.float() + one) * factor - one).to(tensor.dtype)
    save_file(tensors, file, {"format": "pt"})
    return folder


def logits_of(checkpoint: Path, device: Device, seed: int = 1) -> tuple[torch.Tensor, dict[str, np.ndarray], Path]:
    """Logits of the last tokens of a random prompt, from transformers and from both plans; and the bundle."""
    bundle = checkpoint.parent / "bundle"
    export_bundle(checkpoint, bundle, "f32", 128, False, Silent())
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(30, 370, (PROMPT + STEPS,), generator=generator).tolist()
    wanted = transformers_logits(load_transformers(checkpoint), ids[:-1])[-STEPS:]
    text = [Continued(ids[:PROMPT], ids[PROMPT:])]
    found = {plan: webgpu_logits(TextEngine(bundle, plan, device=device), text)[0] for plan in ("f32", "f16")}
    return wanted, found, bundle


@pytest.mark.parametrize("factor", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize(("name", "site"), SITES)
def test_f16_holds_what_f32_holds(name: str, site: str, factor: float, tmp_path: Path, devices: Devices) -> None:
    wanted, found, _ = logits_of(scaled(name, site, factor, tmp_path / "checkpoint"), devices(True))
    for plan, most in (("f32", ACTIVATIONS["f32"]), ("f16", arithmetic("f16", "f32", routed=name == "moe"))):
        assert compare(wanted, torch.from_numpy(found[plan])).beyond(most) == []
    if name != "moe":
        gap = np.take_along_axis(found["f32"], found["f16"].argmax(-1, keepdims=True), -1)[:, 0]
        assert (found["f32"].max(-1) - gap <= ACTIVATIONS["f16"].tie).all(), "the same tokens, near-ties apart"


@pytest.mark.parametrize("factor", [LARGE, SMALL], ids=["large", "small"])
def test_a_head_that_is_large_or_small(factor: float, tmp_path: Path, devices: Devices) -> None:
    """The magnitude of the final norm stays in the logits."""
    folder = variant("softcap_off", tmp_path / "checkpoint", with_tokenizer=True)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    (key,) = (key for key in tensors if key.endswith("language_model.norm.weight"))
    tensors[key] = tensors[key] * factor
    save_file(tensors, file, {"format": "pt"})
    wanted, found, _ = logits_of(folder, devices(True))
    for plan, most in ACTIVATIONS.items():
        error = compare(wanted / factor, torch.from_numpy(found[plan]) / factor)
        assert error.beyond(most) == []


@pytest.mark.parametrize("seed", range(4))
def test_random_experts_stay_within_what_the_table_states(seed: int, tmp_path: Path, devices: Devices) -> None:
    wanted, found, _ = logits_of(variant("moe", tmp_path / "checkpoint", True, seed), devices(True), seed)
    assert compare(wanted, torch.from_numpy(found["f32"])).beyond(ACTIVATIONS["f32"]) == []
    assert compare(wanted, torch.from_numpy(found["f16"])).beyond(ROUTED_F16) == []


@pytest.mark.parametrize("factor", [1.0, LARGE, SMALL], ids=["ordinary", "large", "small"])
def test_the_edge_is_reported_as_the_caches_have_it(factor: float, tmp_path: Path, devices: Devices) -> None:
    """The f32 plan reports the same as the f16 plan's own caches, within rounding of f16."""
    checkpoint = scaled("gemma3", "v_proj k_norm", factor, tmp_path / "checkpoint")
    export_bundle(checkpoint, tmp_path / "bundle", "f32", 128, False, Silent())
    text = [Continued(list(range(30, 90)), [5, 6, 7])]
    half = TextEngine(tmp_path / "bundle", "f16", device=devices(True))
    whole = TextEngine(tmp_path / "bundle", "f32", device=devices(True))
    watch = EdgeWatch(whole.caches, load_plan(tmp_path / "bundle" / "plan" / "f16.json"))
    webgpu_logits(whole, text, watch=watch)
    webgpu_logits(half, text)
    held = max(float(np.abs(numbers.astype(np.float32)).max()) for _, numbers in half.caches.read_all(np.float16))
    assert watch.edge.share == pytest.approx(held / 65_504, rel=2e-3)
    assert 1 / 64 < watch.edge.share <= 0.5
