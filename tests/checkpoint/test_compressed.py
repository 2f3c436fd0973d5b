"""Checkpoints that compressed-tensors packed, as transformers reads them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from safetensors.torch import load_file, save_file

from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.bundle.folder import read_manifest
from gemtab.checkpoint import CheckpointWeights, open_checkpoint
from gemtab.errors import CheckpointError
from gemtab.export import export_bundle
from gemtab.model.text import text_graph
from gemtab.parity.text import ReferenceText
from gemtab.parity.tolerances import TRANSFORMERS_MAX
from tests.silent import Silent
from tests.variants import IMAGE_ID, load_transformers, transformers_logits, variant

FILE = "model.safetensors"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GATE = "model.language_model.layers.0.mlp.gate_proj"
Tensors = dict[str, torch.Tensor]


def packed(folder: Path, bits: int, group: int | None) -> Path:
    """A random variant of which the projections are packed: a scale for each `group` columns, or a row."""
    variant("base", folder, with_tokenizer=True)
    tensors = load_file(folder / FILE)
    for name in [name for name in tensors if name.split(".")[-2] in PROJECTIONS]:
        weight = tensors.pop(name).float()
        columns = group or weight.shape[1]
        blocks = weight.reshape(len(weight), -1, columns)
        scales = (blocks.abs().amax(-1) / ((1 << bits - 1) - 0.5)).to(torch.bfloat16)
        numbers = (blocks / scales.float()[..., None]).round().clamp(-(1 << bits - 1), (1 << bits - 1) - 1)
        module = name.removesuffix(".weight")
        tensors[f"{module}.weight_packed"] = pack_to_int32(numbers.reshape(weight.shape).to(torch.int8), bits)
        tensors[f"{module}.weight_scale"] = scales
        tensors[f"{module}.weight_shape"] = torch.tensor(weight.shape)
    save_file(tensors, folder / FILE, metadata={"format": "pt"})
    describe(folder, bits, group)
    return folder


def describe(folder: Path, bits: int, group: int | None, **changes: object) -> None:
    strategy = {"strategy": "group", "group_size": group} if group else {"strategy": "channel"}
    weights = {"num_bits": bits, "type": "int", "symmetric": True, "dynamic": False, **strategy, **changes}
    targets = [f"re:.*{name}$" for name in PROJECTIONS]
    path = folder / "config.json"
    quantisation = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": targets, "weights": weights, "input_activations": None}},
        "ignore": ["lm_head"],
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": quantisation}))


@pytest.mark.parametrize(("bits", "group"), [(4, 32), (8, 32), (4, None)], ids=["4 by 32", "8 by 32", "4 by row"])
def test_logits_are_those_of_transformers(bits: int, group: int | None, tmp_path: Path) -> None:
    folder = packed(tmp_path / "checkpoint", bits, group)
    ids = torch.randint(30, IMAGE_ID, (40,), generator=torch.Generator().manual_seed(1)).tolist()
    expected = transformers_logits(load_transformers(folder), ids)
    opened = open_checkpoint(folder)
    found = ReferenceText(opened.spec.text, CheckpointWeights(opened.tensors, opened.spec)).logits(ids)
    assert float((found - expected).abs().max()) < TRANSFORMERS_MAX


@pytest.mark.parametrize(("bits", "weights"), [(4, "q4"), (8, "q8")])
def test_a_bundle_keeps_codes_and_scales(bits: int, weights: str, tmp_path: Path) -> None:
    folder = packed(tmp_path / "checkpoint", bits, 32)
    export_bundle(folder, tmp_path / "out", weights, 64, False, Silent(), inputs=["text"])  # type: ignore[arg-type]
    assert read_manifest(tmp_path / "out").weights == weights
    tensors, opened = load_file(folder / FILE), open_checkpoint(folder)
    stored = BundleWeights(tmp_path / "out", read_manifest(tmp_path / "out").weights)
    held = {weight.name: weight for weight in text_graph(opened.spec.text).weights()}
    planes = stored.read_planes(held["layers.0.gate_up"], 0, 160)
    assert planes["codes"].tobytes() == tensors[f"{GATE}.weight_packed"].numpy().tobytes()
    assert np.array_equal(planes["scales"].astype(np.float32), tensors[f"{GATE}.weight_scale"].float().numpy())


def test_other_groups_are_repeated_or_packed_anew(tmp_path: Path) -> None:
    """A scale a row of 96 columns is one for each of its three blocks; scales that f16 cannot hold are none of q4's."""
    folder = packed(tmp_path / "checkpoint", 4, None)
    tensors = open_checkpoint(folder).tensors
    found = tensors.packed_rows(f"{GATE}.weight", "q4", 0, 7)
    assert found is not None and found["scales"].shape == (7, 3)
    assert tensors.packed_rows(f"{GATE}.weight", "q8", 0, 7) is None
    rewrite(folder, lambda held: held.update({f"{GATE}.weight_scale": held[f"{GATE}.weight_scale"] * 1e-7}))
    assert open_checkpoint(folder).tensors.packed_rows(f"{GATE}.weight", "q4", 0, 7) is None


def rewrite(folder: Path, change: Callable[[Tensors], object]) -> None:
    held = load_file(folder / FILE)
    change(held)
    save_file(held, folder / FILE)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other bits": (lambda folder: describe(folder, 3, 32), "weights.num_bits = 3"),
    "asymmetric": (lambda folder: describe(folder, 4, 32, symmetric=False), "symmetric = False"),
    "zero points": (
        lambda folder: rewrite(folder, lambda held: held.update({f"{GATE}.weight_zero_point": torch.zeros(1)})),
        "asymmetric integers",
    ),
    "another order": (
        lambda folder: rewrite(folder, lambda held: held.update({f"{GATE}.weight_g_idx": torch.zeros(1)})),
        "actorder",
    ),
    "cut short": (
        lambda folder: rewrite(
            folder,
            lambda held: held.update({f"{GATE}.weight_packed": torch.zeros(160, 5, dtype=torch.int32)}),
        ),
        rf"{GATE}.weight_packed .* expected 160 rows of 96 integers of 4 or 8 bits, found \[160, 5\]",
    ),
    "a shape that is none": (
        lambda folder: rewrite(folder, lambda held: held.update({f"{GATE}.weight_shape": torch.tensor([160])})),
        r"weight_shape .* expected two numbers, found \[160\]",
    ),
    "scales of another shape": (
        lambda folder: rewrite(folder, lambda held: held.update({f"{GATE}.weight_scale": torch.ones(7, 3)})),
        r"weight_scale .* expected \[160, groups\], found \[7, 3\]",
    ),
    "no scales": (
        lambda folder: rewrite(folder, lambda held: held.pop(f"{GATE}.weight_scale")),
        f"{GATE}.weight_scale is not in the checkpoint",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_known_is_rejected_and_named(damage: str, tmp_path: Path) -> None:
    make, message = DAMAGES[damage]
    folder = packed(tmp_path / "checkpoint", 4, 32)
    make(folder)
    with pytest.raises(CheckpointError, match=message):
        export_bundle(folder, tmp_path / "out", "q4", 64, False, Silent(), inputs=["text"])
    assert not (tmp_path / "out").exists()
