"""Adapters give the model as it was trained: the logits of peft's model before any merge.

peft's own merge differs where head and embedding are tied: the merge reaches both, the training only one.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from gemtab.checkpoint import Checkpoint, CheckpointWeights, adapted, load_spec
from gemtab.checkpoint.adapter import adapted_spec, adapter_notes
from gemtab.errors import CheckpointError
from gemtab.model.spec import ModelSpec
from gemtab.parity.text import ReferenceText
from tests.adapters import trained, trained_model
from tests.variants import load_transformers, transformers_logits, variant

WEIGHTS = "adapter_model.safetensors"
IDS = [*range(30, 46), 3]
Bases = Callable[[str], Path]
Tensors = dict[str, torch.Tensor]

# Messages between peft and transformers on these models do not concern the result.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    made: dict[str, Path] = {}

    def base(name: str) -> Path:
        if name not in made:
            made[name] = variant(name, tmp_path_factory.mktemp(name) / name)
        return made[name]

    return base


def merged(base: Path, *adapters: Path) -> tuple[ModelSpec, torch.Tensor, tuple[str, ...]]:
    """The spec, the logits and the notes of the checkpoint with the adapters."""
    before = load_spec(base)
    tensors = adapted(Checkpoint.open(base), adapters, before)
    spec = adapted_spec(before, tensors)
    logits = ReferenceText(spec.text, CheckpointWeights(tensors, spec)).logits(IDS)
    return spec, logits, adapter_notes(tensors, before, spec)


EMBEDDING, HEAD, PER_LAYER = "embed_tokens", "lm_head", "embed_tokens_per_layer"
KINDS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    # variant, whether the head is still tied, options of peft
    "embedding saved": ("everything", False, {"modules_to_save": [EMBEDDING]}),
    "head saved": ("everything", False, {"modules_to_save": [HEAD]}),
    "both saved": ("everything", False, {"modules_to_save": [EMBEDDING, HEAD]}),
    "both saved, tied": ("everything", True, {"modules_to_save": [EMBEDDING], "ensure_weight_tying": True}),
    "LoRA on the embedding": ("everything", False, {"target_modules": ["q_proj", EMBEDDING]}),
    "LoRA on the head": ("everything", False, {"target_modules": ["q_proj", HEAD]}),
    "LoRA on both": ("everything", False, {"target_modules": [HEAD, EMBEDDING]}),
    "LoRA on both, tied": ("everything", True, {"target_modules": [EMBEDDING], "ensure_weight_tying": True}),
    "LoRA on the head, tied": ("everything", True, {"target_modules": [HEAD], "ensure_weight_tying": True}),
    "embedding saved, LoRA on the head": (
        "everything", False, {"target_modules": [HEAD], "modules_to_save": [EMBEDDING]},
    ),
    "DoRA on embedding and head": ("everything", False, {"target_modules": [EMBEDDING, HEAD], "use_dora": True}),
    "tokens": ("everything", True, {"trainable_token_indices": [30, 37, 300]}),
    "tokens of both": ("everything", False, {"trainable_token_indices": {EMBEDDING: [30, 37], HEAD: [44]}}),
    "tokens of the head": ("everything", False, {"trainable_token_indices": {HEAD: [30, 37]}}),
    "tokens of both, LoRA on the head": (
        "bare", False, {"target_modules": [HEAD], "trainable_token_indices": [30, 37]},
    ),
    "patterns that overlap": (
        "everything", True, {"rank_pattern": {"q_proj": 3, r"layers\\.1\\..*": 2}, "alpha_pattern": {"q_proj": 9}},
    ),
    "per-layer tokens": ("everything", True, {"trainable_token_indices": {PER_LAYER: [30]}}),
    "LoRA on the per-layer table": ("everything", True, {"target_modules": [PER_LAYER]}),
    "norms": ("everything", True, {"modules_to_save": ["input_layernorm", "q_norm", "norm"]}),
    "a layer saved": ("everything", True, {"modules_to_save": ["layers.1"]}),
    "DoRA on all": ("everything", True, {"target_modules": "all-linear", "use_dora": True}),
    "all biases": ("everything", True, {"bias": "all"}),
    "fan in, fan out": ("everything", True, {"fan_in_fan_out": True}),
    "some layers": ("everything", True, {"layers_to_transform": [1, 3]}),
    "minor components": ("everything", True, {"init_lora_weights": "mica"}),
    "parameters": (
        "everything", False,
        {"target_modules": [], "target_parameters": ["q_proj.weight", "embed_tokens.weight"],
         "rank_pattern": {"embed_tokens.weight": 2}, "alpha_pattern": {"q_proj": 40, "q_proj.weight": 3}},
    ),
    "experts": ("moe", True, {"target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}),
    "experts' patterns": (
        "moe", True,
        {"target_modules": ["proj"], "target_parameters": ["gate_up_proj"], "use_rslora": True,
         "rank_pattern": {"gate_up_proj": 3}, "alpha_pattern": {"experts.gate_up_proj": 20}},
    ),
    "experts saved": ("moe", True, {"modules_to_save": ["experts", "router"]}),
    "Gemma 3": ("gemma3", False, {"target_modules": ["v_proj", EMBEDDING], "modules_to_save": ["q_norm"]}),
    "bare": ("bare", False, {"target_modules": ["down_proj", HEAD], "use_rslora": True}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_logits_are_those_of_the_trained_model(bases: Bases, kind: str, tmp_path: Path) -> None:
    name, tied, options = KINDS[kind]
    base = bases(name)
    model = trained_model(load_transformers(base), 1, **({"target_modules": ["q_proj"]} | options))
    wanted = transformers_logits(model, IDS)
    model.save_pretrained(str(tmp_path))
    spec, found, _ = merged(base, tmp_path)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-4)
    assert spec.text.tied == tied
    assert float((found - transformers_logits(load_transformers(base), IDS)).abs().max()) > 0.5


def test_an_own_head_is_said(bases: Bases, tmp_path: Path) -> None:
    adapter = trained(bases("everything"), tmp_path, 1, target_modules=[EMBEDDING])
    *_, notes = merged(bases("everything"), adapter)
    assert notes == ("The head is a separate matrix: the adapters changed the head and the embedding differently.",)


def test_a_spec_from_before_an_adapter_is_refused(bases: Bases, tmp_path: Path) -> None:
    """Its tied head would not be the trained one."""
    adapter = trained(bases("everything"), tmp_path, 1, target_modules=[EMBEDDING])
    before = load_spec(bases("everything"))
    with pytest.raises(CheckpointError, match=r"differs from the embedding.*adapted_spec"):
        CheckpointWeights(adapted(Checkpoint.open(bases("everything")), [adapter], before), before)


def test_copies_of_what_was_not_trained_change_nothing(bases: Bases, tmp_path: Path) -> None:
    """save_embedding_layers=True saves both tables of a model that tied them. The copies of a second adapter do not
    undo what the first one trained."""
    base = bases("everything")
    one = trained(base, tmp_path / "one", 1, modules_to_save=[EMBEDDING])
    model = trained_model(load_transformers(base), 2, target_modules=["q_proj"])
    model.save_pretrained(str(tmp_path / "two"), save_embedding_layers=True)
    assert "base_model.model.lm_head.weight" in load_file(tmp_path / "two" / WEIGHTS)
    spec, found, notes = merged(base, tmp_path / "two")
    torch.testing.assert_close(found, transformers_logits(model, IDS), rtol=1e-4, atol=2e-4)
    assert spec.text.tied and notes == ()
    tensors = adapted(Checkpoint.open(base), [one, tmp_path / "two"])
    alone = adapted(Checkpoint.open(base), [one])
    for name in (HEAD + ".weight", "model.language_model.embed_tokens.weight"):
        assert torch.equal(tensors.read(name), alone.read(name))


@pytest.mark.parametrize(
    ("name", "rows", "options", "save"),
    [
        ("gemma3", 401, {}, True),
        ("gemma3", 377, {}, "auto"),
        ("gemma3", 400, {"target_modules": [EMBEDDING]}, "auto"),
        ("base", 400, {"trainable_token_indices": [3, 399]}, True),
        ("base", 400, {"modules_to_save": [EMBEDDING, HEAD]}, "auto"),
        ("base", 400, {"target_modules": [HEAD]}, "auto"),
        ("base", 400, {"trainable_token_indices": {EMBEDDING: [3, 399]}}, True),
        ("everything", 377, {}, True),
        ("everything", 400, {"modules_to_save": [EMBEDDING, PER_LAYER], "ensure_weight_tying": True}, True),
    ],
    ids=[
        "larger", "smaller", "LoRA", "tokens", "both saved", "head alone", "tokens by module", "per-layer table larger",
        "per-layer table saved",
    ],
)  # fmt: skip
def test_a_resized_vocabulary_is_taken(
    bases: Bases, name: str, rows: int, options: dict[str, Any], save: bool | str, tmp_path: Path
) -> None:
    model = load_transformers(bases(name))
    model.resize_token_embeddings(rows, mean_resizing=False)
    adapter = trained_model(model, 1, **({"target_modules": ["q_proj"]} | options))
    adapter.save_pretrained(str(tmp_path), save_embedding_layers=save)
    wanted = transformers_logits(adapter, IDS)
    spec, found, notes = merged(bases(name), tmp_path)
    assert found.shape == (len(IDS), rows) and spec.text.vocabulary == rows
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-4)
    assert f"The vocabulary has {rows} tokens with the adapters, 384 without." in notes


@pytest.mark.parametrize(
    ("name", "options", "save", "message"),
    [
        ("base", {"modules_to_save": [EMBEDDING]}, "auto", "resized to 400 tokens .*but lm_head.weight has 384 rows"),
        ("everything", {}, True, "but model.language_model.embed_tokens_per_layer.weight has 384 rows"),
        ("base", {"target_modules": [HEAD], "trainable_token_indices": [3]}, False, "does not have the other rows"),
        ("base", {"trainable_token_indices": [399]}, False, "token 399 was trained, but .* has 384 rows"),
    ],
    ids=["head", "per-layer table", "LoRA on the head", "tokens"],
)
def test_a_table_that_was_not_saved_is_named(
    bases: Bases, name: str, options: dict[str, Any], save: bool | str, message: str, tmp_path: Path
) -> None:
    model = load_transformers(bases(name))
    model.resize_token_embeddings(400, mean_resizing=False)
    adapter = trained_model(model, 1, **({"target_modules": ["q_proj"]} | options))
    adapter.save_pretrained(str(tmp_path), save_embedding_layers=save)
    with pytest.raises(CheckpointError, match=message):
        merged(bases(name), tmp_path)


@pytest.mark.parametrize("rows", [384, 400])
@pytest.mark.parametrize("name", ["gemma3", "base"])
def test_an_adapter_of_what_another_one_left(bases: Bases, name: str, rows: int, tmp_path: Path) -> None:
    """The head that the first one untied stays as it is where the second one brings a copy of the embedding."""
    model = load_transformers(bases(name))
    model.resize_token_embeddings(rows, mean_resizing=False)
    first = trained_model(model, 1, target_modules=["q_proj"], modules_to_save=[EMBEDDING, HEAD])
    first.save_pretrained(str(tmp_path / "first"))
    second = trained_model(first.merge_and_unload(), 2, target_modules=["q_proj", EMBEDDING])
    second.save_pretrained(str(tmp_path / "second"))
    wanted = transformers_logits(second, IDS)
    _, found, _ = merged(bases(name), tmp_path / "first", tmp_path / "second")
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-4)


def test_copies_of_a_resized_base_do_not_undo_what_another_adapter_trained(bases: Bases, tmp_path: Path) -> None:
    """Two adapters of the same base, each resized alike: the second one trained neither table, and saves both."""
    base = bases("gemma3")
    for name, options in (("one", {"modules_to_save": [EMBEDDING, HEAD]}), ("two", {"target_modules": ["v_proj"]})):
        model = load_transformers(base)
        model.resize_token_embeddings(400, mean_resizing=False)
        adapter = trained_model(model, 1, **({"target_modules": ["q_proj"]} | options))
        adapter.save_pretrained(str(tmp_path / name), save_embedding_layers=True)
    both = adapted(Checkpoint.open(base), [tmp_path / "one", tmp_path / "two"])
    alone = adapted(Checkpoint.open(base), [tmp_path / "one"])
    for name in (HEAD + ".weight", "model.embed_tokens.weight"):
        assert torch.equal(both.read(name), alone.read(name))


@pytest.fixture(scope="module")
def plain(bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    """An adapter of projections, embedding and head, and the logits of its model."""
    folder = tmp_path_factory.mktemp("plain")
    options = {"target_modules": ["q_proj", "k_proj", EMBEDDING, HEAD]}
    model = trained_model(load_transformers(bases("everything")), 1, **options)
    model.save_pretrained(str(folder))
    return folder, transformers_logits(model, IDS)


def changed(source: Path, folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    """A copy of the adapter with other tensors."""
    shutil.copytree(source, folder)
    save_file(
        {name: value.contiguous() for name, value in change(load_file(source / WEIGHTS)).items()}, folder / WEIGHTS
    )
    return folder


def renamed(*pairs: tuple[str, str]) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        for old, new in pairs:
            tensors = {name.replace(old, new): value for name, value in tensors.items()}
        return tensors

    return change


def added(old: str, new: str) -> Callable[[Tensors], Tensors]:
    """Tensors beside those whose names have `old`, under another name."""

    def change(tensors: Tensors) -> Tensors:
        return tensors | {name.replace(old, new): value.clone() for name, value in tensors.items() if old in name}

    return change


def emptied(part: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: torch.zeros(0) if part in name else value for name, value in tensors.items()}


NEW = "model.language_model."


@pytest.mark.parametrize(
    "change",
    [
        renamed((NEW, "language_model.model."), ("model.lm_head", "model.language_model.lm_head")),
        renamed((NEW, "model.")),
        renamed((NEW, "")),
        renamed(("base_model.model.", "")),
        renamed(("base_model.model.", "base_model.model._orig_mod."), ("_A.weight", "_A.default.weight")),
        renamed(("_A.weight", "_A.mine.weight"), ("_B.weight", "_B.mine.weight")),
        emptied("base_layer"),
        added("language_model.layers.0.self_attn.k_proj", "language_model.layers.6.self_attn.k_proj"),
        added("language_model.layers.0.self_attn.q_proj", "vision_tower.encoder.layers.0.self_attn.q_proj.linear"),
    ],
    ids=[
        "older", "text model", "without head", "bare", "compiled", "adapter's name", "empty copies", "shared KV",
        "tower",
    ],
)  # fmt: skip
def test_names_and_leftovers_of_trainers_are_known(
    bases: Bases, plain: tuple[Path, torch.Tensor], change: Callable[[Tensors], Tensors], tmp_path: Path
) -> None:
    folder, wanted = plain
    _, found, _ = merged(bases("everything"), changed(folder, tmp_path / "other", change))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-4)


def test_what_is_left_out_is_said(bases: Bases, plain: tuple[Path, torch.Tensor], tmp_path: Path) -> None:
    shared = added("language_model.layers.0.self_attn.k_proj", "language_model.layers.6.self_attn.k_proj")
    *_, notes = merged(bases("everything"), changed(plain[0], tmp_path / "mine", shared))
    assert notes[0] == (
        "Adapter mine: its changes of model.language_model.layers.6.self_attn.k_proj are left out: the layer reads "
        "another layer's keys and values."
    )


@pytest.mark.parametrize(
    ("change", "message", "another"),
    [
        (emptied("layers.0.self_attn.k_proj.lora_A"), "k_proj.lora_A.weight is empty .*ZeRO-3 or FSDP", False),
        (added("lora_A.weight", "lora_A.mine.weight"), "the file holds several adapters", False),
        (
            lambda tensors: tensors | {"base_model.model.score.weight": torch.ones(2, 160)},
            "score. A chat model has no head of a classifier",
            False,
        ),
        (added("layers.0.self_attn.q_proj", "layers.40.self_attn.q_proj"), "does not have: .*layers.40", False),
        (
            lambda tensors: {name: value[:, :96] if "lora_A" in name else value for name, value in tensors.items()},
            r"shape \[4, 96\], but .* require \[4, 160\]",
            True,
        ),
    ],
    ids=["ZeRO-3", "two adapters", "classifier", "layer", "width"],
)
def test_refusals_give_the_true_reason(
    bases: Bases,
    plain: tuple[Path, torch.Tensor],
    change: Callable[[Tensors], Tensors],
    message: str,
    another: bool,
    tmp_path: Path,
) -> None:
    """`trained on another base` is said only where it is so."""
    with pytest.raises(CheckpointError, match=message) as raised:
        merged(bases("everything"), changed(plain[0], tmp_path / "other", change))
    assert ("trained on another base" in str(raised.value)) == another


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ("pissa", "PiSSA"), ("pissa_niter_16", "PiSSA"), ("olora", "OLoRA"), ("corda", "CorDA"),
        ("lora_ga", "LoRA-GA"), ("loftq", "LoftQ"),
    ],
)  # fmt: skip
def test_initialisations_that_change_the_base_are_refused(
    bases: Bases, plain: tuple[Path, torch.Tensor], start: str, name: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(plain[0], tmp_path / "other")
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"init_lora_weights": start}))
    with pytest.raises(CheckpointError, match=f"{name} changed the base's weights"):
        merged(bases("everything"), folder)


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_converted_adapters_give_the_trained_model(bases: Bases, start: str, tmp_path: Path) -> None:
    """peft's conversion to a plain LoRA needs the adapter as it was before training."""
    base = bases("everything")
    options: dict[str, Any] = {"target_modules": ["q_proj"], "init_lora_weights": start}

    model = get_peft_model(load_transformers(base), LoraConfig(r=4, lora_alpha=6, **options))
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(str(tmp_path / "before"))
    model.peft_config["default"].init_lora_weights = start
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    wanted = transformers_logits(model.eval(), IDS)
    model.save_pretrained(str(tmp_path / "after"), path_initial_model_for_weight_conversion=str(tmp_path / "before"))
    _, found, _ = merged(base, tmp_path / "after")
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
