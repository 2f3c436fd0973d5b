"""Tensors that the model does not use: known ones are named, any other is rejected."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gemtab.checkpoint import open_checkpoint
from gemtab.checkpoint.leftovers import leftovers
from gemtab.errors import CheckpointError
from gemtab.export import export_bundle
from gemtab.model.weights import model_weights
from gemtab.synth import SIZES, write_checkpoint
from gemtab.synth.mobile import as_mobile
from gemtab.synth.write import tensors_of
from tests.assistants import ASSISTANTS, assistant
from tests.silent import Silent
from tests.synth.test_synth import small_config
from tests.variants import CODED, TOWERS, VARIANTS, variant

FILE = "model.safetensors"
TEXT = "model.language_model."
Q = f"{TEXT}layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return variant("shared_kv", tmp_path_factory.mktemp("shared_kv"))


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "checkpoint")


def add(folder: Path, *names: str, shape: tuple[int, ...] = (3,)) -> Path:
    tensors = load_file(folder / FILE)
    save_file({**tensors, **{name: torch.ones(shape) for name in names}}, folder / FILE, metadata={"format": "pt"})
    return folder


def found(folder: Path) -> tuple[str, ...]:
    opened = open_checkpoint(folder)
    return leftovers(opened.tensors, opened.spec, model_weights(opened.spec))


@pytest.mark.parametrize("name", [*VARIANTS, *CODED, *TOWERS])
def test_what_transformers_saves_has_no_leftovers(name: str, tmp_path: Path) -> None:
    assert found(variant(name, tmp_path)) == ()


@pytest.mark.parametrize("name", ASSISTANTS)
def test_nor_have_draft_models(name: str, tmp_path: Path) -> None:
    notes = found(assistant(name, tmp_path))
    # The target gives a draft model the embeddings of its tokens: a table of its own serves as head alone.
    assert bool(notes) == name.startswith("untied")
    assert all("the embedding of a draft model" in note for note in notes)


@pytest.mark.parametrize("size", [*SIZES, "E2B for mobile"])
def test_nor_have_the_published_shapes(size: str, tmp_path: Path) -> None:
    config = as_mobile(small_config("E2B"), "E2B") if size not in SIZES else small_config(size)
    write_checkpoint(config, tensors_of(config), tmp_path, lambda _: None)
    assert found(tmp_path) == ()


def test_what_is_known_to_be_left_over_is_named(folder: Path) -> None:
    """Layers 4 to 6 of 7 share keys and values."""
    tensors = load_file(folder / FILE)
    shared = [f"{TEXT}layers.{layer}.self_attn.{name}.weight" for layer in (4, 6) for name in ("k_proj", "v_proj")]
    rotary = f"{TEXT}rotary_emb.full_attention_inv_freq"
    towers = ["model.vision_tower.patch_embedder.input_proj.weight", "model.embed_audio.embedding_projection.weight"]
    add(folder, *shared, rotary, "model.embeddings.position_ids", *towers)
    copied = {**load_file(folder / FILE), "lm_head.weight": tensors[f"{TEXT}embed_tokens.weight"].clone()}
    save_file(copied, folder / FILE, metadata={"format": "pt"})
    notes = "\n".join(found(folder))
    assert f"layers that share another's, {shared[0]} and 3 more" in notes
    assert f"rotary tables, {rotary}" in notes
    assert "position ids, model.embeddings.position_ids" in notes
    assert "a copy of the embedding as head, lm_head.weight" in notes
    assert f"the vision part, which config.json does not describe, {towers[0]}" in notes
    assert f"the audio part, which config.json does not describe, {towers[1]}" in notes
    assert notes.count("\n") == 5


def test_the_bundle_reports_them(tmp_path: Path) -> None:
    name = "model.layers.4.self_attn.k_norm.weight"
    folder = add(variant("bare", tmp_path / "bare", with_tokenizer=True), name)
    manifest = export_bundle(folder, tmp_path / "out", "q4", 128, False, Silent())
    assert [note for note in manifest.notes if name in note]


def test_parts_that_are_not_exported_are_no_leftovers(tmp_path: Path) -> None:
    folder = variant("seeing", tmp_path / "seeing", with_tokenizer=True)
    manifest = export_bundle(folder, tmp_path / "out", "q4", 128, False, Silent(), inputs=["text"])
    assert not [note for note in manifest.notes if "tensor" in note or "Left out" in note]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        (f"{Q}.bias", "a bias"),
        ("score.weight", "classifier or reward model"),
        ("v_head.summary.weight", "classifier or reward model"),
        (f"{Q}.weight_scale", "without a quantization_config"),
        (f"{Q}.input_scale", "without a quantization_config"),
        (f"{Q}.weight.absmax", "without a quantization_config"),
        (f"{Q}.lora_A.default.weight", "--adapter"),
        (f"{Q}.base_layer.weight", "--adapter"),
        (f"{TEXT}layers.7.mlp.up_proj.weight", "config"),  # a layer more than the config has
        (f"{TEXT}layers.3.self_attn.k_proj.bias", "a bias"),  # of a layer with keys of its own
        (f"{TEXT}layers.0.router.proj.weight", "config"),
        ("model.something.position_ids.weight", "config"),
        ("mtp.layers.0.weight", "config"),
    ],
)
def test_anything_else_is_rejected_and_named(name: str, hint: str, folder: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        found(add(folder, name))
    assert f"no use for {name}" in str(caught.value)
    assert hint in str(caught.value)


def test_it_is_refused_before_a_weight_is_read(tmp_path: Path) -> None:
    folder = add(variant("bare", tmp_path / "bare", with_tokenizer=True), f"{Q}.bias")
    with pytest.raises(CheckpointError, match="has no use for"):
        export_bundle(folder, tmp_path / "out", "q4", 128, False, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["bare"]


def test_many_are_counted(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"proj\.bias and 4 more"):
        found(add(folder, *(f"{TEXT}layers.{layer}.self_attn.q_proj.bias" for layer in range(5))))
