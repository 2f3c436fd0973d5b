"""Whether the head is the embedding: the tensors decide, as in transformers, which is the oracle."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gemtab.backends.onnx.bundle_weights import BundleWeights
from gemtab.checkpoint import CheckpointWeights, load_spec, open_checkpoint
from gemtab.errors import CheckpointError
from gemtab.export import export_bundle
from gemtab.model.draft import draft_graph
from gemtab.parity.text import ReferenceText
from tests.assistants import assistant
from tests.silent import Silent
from tests.variants import load_transformers, transformers_logits, variant

FILE = "model.safetensors"
HEAD = "lm_head.weight"
PROMPT = list(range(5, 45))

KINDS = {"base": "model.language_model.", "bare": "model.", "unified_12b": "model.language_model.", "gemma3": "model."}
"""A variant of each kind of checkpoint, and where its text stack's names begin."""


def with_head(folder: Path, prefix: str, noise: float, dtype: torch.dtype = torch.bfloat16) -> Path:
    """Adds a head to the checkpoint: the embedding, each value changed by so many standard deviations."""
    tensors = load_file(folder / FILE)
    table = tensors[f"{prefix}embed_tokens.weight"].float()
    change = torch.randn(table.shape, generator=torch.Generator().manual_seed(7)) * noise * table.std()
    save_file({**tensors, HEAD: (table + change).to(dtype)}, folder / FILE, metadata={"format": "pt"})
    return folder


def say(folder: Path, tied: bool) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tie_word_embeddings": tied}))


def logits(folder: Path) -> torch.Tensor:
    opened = open_checkpoint(folder)
    return ReferenceText(opened.spec.text, CheckpointWeights(opened.tensors, opened.spec)).logits(PROMPT)


@pytest.mark.parametrize("noise", [0.0, 0.5], ids=["equal", "other"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_head_beside_a_config_that_ties_it(kind: str, noise: float, tmp_path: Path) -> None:
    folder = with_head(variant(kind, tmp_path), KINDS[kind], noise)
    model = load_transformers(folder)
    tied = model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    assert load_spec(folder).text.tied == tied == (noise == 0.0)
    torch.testing.assert_close(logits(folder), transformers_logits(model, PROMPT), rtol=1e-4, atol=1e-3)


def test_one_value_makes_a_head_of_its_own(tmp_path: Path) -> None:
    folder = with_head(variant("base", tmp_path), KINDS["base"], 0.0)
    tensors = load_file(folder / FILE)
    tensors[HEAD][-1, -1] += 0.5
    save_file(tensors, folder / FILE, metadata={"format": "pt"})
    assert not load_spec(folder).text.tied


def test_an_equal_copy_in_another_dtype_is_a_copy(tmp_path: Path) -> None:
    folder = with_head(variant("base", tmp_path), KINDS["base"], 0.0, torch.float32)
    assert load_spec(folder).text.tied


def test_a_head_that_the_config_asks_for_must_be_there(tmp_path: Path) -> None:
    folder = variant("base", tmp_path)
    say(folder, tied=False)
    with pytest.raises(
        CheckpointError, match=r"tie_word_embeddings is false, and the checkpoint has no tensor lm_head\.weight"
    ):
        load_spec(folder)


def test_an_assistants_own_head(tmp_path: Path) -> None:
    folder = with_head(assistant("plain", tmp_path), "model.", 0.5)
    opened = open_checkpoint(folder)
    assert opened.spec.assistant is not None
    names = {weight.name for weight in draft_graph(opened.spec.text, opened.spec.assistant).weights()}
    assert "lm_head" in names


def test_the_bundle_has_the_head_and_says_so(tmp_path: Path) -> None:
    """The config.json of a bundle, from which its graphs are described, no longer ties what is not tied."""
    folder = with_head(variant("bare", tmp_path / "bare", with_tokenizer=True), KINDS["bare"], 0.5)
    before = shutil.copytree(folder, tmp_path / "before")
    out = tmp_path / "out"
    export_bundle(folder, out, "f32", 128, False, Silent())
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    spec = load_spec(out)
    stored = ReferenceText(spec.text, BundleWeights(out, "f32")).logits(PROMPT)
    wanted = transformers_logits(load_transformers(before), PROMPT)
    torch.testing.assert_close(stored, wanted, rtol=1e-4, atol=1e-3)
