"""LoRA adapters: merged while they are read, as peft merges them, and refused where they do not fit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from gemtab.checkpoint import Checkpoint, adapted
from gemtab.errors import CheckpointError
from tests.adapters import trained
from tests.variants import load_transformers, variant

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
# Messages between peft and transformers on this model do not concern the merge.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*save_embedding_layers:UserWarning"),
]
ATTENTION = ["q_proj", "v_proj", "o_proj"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return variant("everything", tmp_path_factory.mktemp("base"))


def merged_by_peft(base: Path, adapters: list[Path]) -> dict[str, torch.Tensor]:
    model: Any = load_transformers(base)
    for adapter in adapters:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return dict(model.state_dict())


def check_merge(base: Path, adapters: list[Path], least: int) -> None:
    """All tensors are peft's, and `least` of them are not the base's."""
    checkpoint = Checkpoint.open(base)
    tensors, wanted = adapted(checkpoint, adapters), merged_by_peft(base, adapters)
    changed = 0
    for name in tensors.names():
        found = tensors.read(name).float()
        torch.testing.assert_close(found, wanted[name].float(), rtol=1e-5, atol=1e-6, msg=name)
        changed += not torch.equal(found, checkpoint.read(name).float())
        if found.dim() == 2:
            torch.testing.assert_close(tensors.read_rows(name, 1, 3).float(), found[1:3])
    assert changed >= least


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"target_modules": ATTENTION}, 6),
        ({"target_modules": "all-linear"}, 20),
        ({"target_modules": r".*language_model.*layers\.[01]\.mlp\.(up|down)_proj", "use_rslora": True}, 4),
        (
            {
                "target_modules": ATTENTION,
                "rank_pattern": {r"layers\.1\.self_attn\.q_proj": 2, "o_proj": 3},
                "alpha_pattern": {"o_proj": 16},
            },
            6,
        ),
        ({"target_modules": ATTENTION, "use_dora": True}, 6),
        ({"target_modules": ["q_proj"], "modules_to_save": ["per_layer_model_projection"]}, 3),
    ],
    ids=["some", "all", "rslora", "patterns", "dora", "saved whole"],
)
def test_a_merge_equals_pefts(base: Path, options: dict[str, Any], least: int, tmp_path: Path) -> None:
    check_merge(base, [trained(base, tmp_path / "adapter", 1, **options)], least)


def test_adapters_are_merged_in_order(base: Path, tmp_path: Path) -> None:
    """DoRA sets lengths, so that another order gives another sum."""
    one = trained(base, tmp_path / "one", 1, target_modules=ATTENTION)
    two = trained(base, tmp_path / "two", 2, target_modules=ATTENTION, use_dora=True)
    check_merge(base, [one, two], 6)
    check_merge(base, [two, one], 6)


def test_an_adapter_of_the_text_model_alone_fits_the_whole(base: Path, tmp_path: Path) -> None:
    """Trained on Gemma4ForCausalLM, whose tensors lack the `language_model` of the multimodal checkpoint."""
    adapter = trained(base, tmp_path / "adapter", 1, target_modules=["q_proj"])
    wanted = adapted(Checkpoint.open(base), [adapter])
    tensors = load_file(adapter / WEIGHTS)
    save_file({name.replace("language_model.", ""): value for name, value in tensors.items()}, adapter / WEIGHTS)
    found = adapted(Checkpoint.open(base), [adapter])
    for name in found.names():
        assert torch.equal(found.read(name), wanted.read(name))


def changed_config(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(content | values))

    return change


def changed_tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    return lambda folder: save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def _wider(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name = next(name for name in tensors if name.endswith("lora_A.weight"))
    return tensors | {name: torch.zeros(4, tensors[name].shape[1] + 32)}


def _halved(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in tensors.items() if "lora_B" not in name}


def _not_finite(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value * float("nan") for name, value in tensors.items()}


def _elsewhere(_: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"base_model.model.model.other.{index}.lora_A.weight": torch.zeros(4, 4) for index in range(5)}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (changed_config(peft_type="IA3"), "peft_type is IA3; only LORA"),
        (changed_config(peft_type="PROMPT_TUNING"), "peft_type is PROMPT_TUNING.*it changes more than weights"),
        (changed_config(peft_type=None), "has no peft_type"),
        (changed_config(peft_type=None, fine_tune_type="lora"), r"mlx-lm's format\. Fuse it with mlx-lm"),
        (changed_config(task_type="SEQ_CLS"), "task_type is SEQ_CLS: the adapter is not for a chat model"),
        (changed_config(lora_bias=True), "the adapter adds biases, and the model's matrices have none"),
        (changed_config(alora_invocation_tokens=[3]), "is active only after certain tokens"),
        (changed_config(use_new_way=True), "use_new_way is True, which gemtab does not know"),
        (changed_config(r=0), r"adapter_config\.json: r: .*greater than 0"),
        (changed_config(rank_pattern={"(": 2}), r"rank_pattern: .* is not a regular expression"),
        (changed_config(use_dora=True), "The two files belong to different adapters"),
        (changed_config(r=8), r"require \[8, .* The rank of .* is 8 by adapter_config.json"),
        (lambda folder: (folder / CONFIG).unlink(), r"adapter_config\.json is missing"),
        (lambda folder: (folder / CONFIG).write_text("{"), r"adapter_config\.json cannot be used"),
        (lambda folder: (folder / CONFIG).write_text("[" * 9999), r"adapter_config\.json cannot be used"),
        (lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"), "only adapter_model.bin, a pickle"),
        (lambda folder: (folder / WEIGHTS).unlink(), r"adapter_model\.safetensors is missing"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"0123"), "damaged or truncated"),
        (changed_tensors(_wider), "trained on another base"),
        (changed_tensors(_halved), "requires lora_A, lora_B"),
        (
            changed_tensors(_elsewhere),
            "changes tensors that the checkpoint does not have: model.other.0, model.other.1, model.other.2 and 2 more",
        ),
    ],
    ids=[
        "kind", "prompts", "no kind", "mlx", "classifier", "biases", "tokens", "switch", "no rank", "pattern",
        "no lengths", "rank", "no config", "config", "deep", "pickle", "no weights", "weights", "wider", "half",
        "unknown",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(base: Path, spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    adapter = trained(base, tmp_path / "adapter", 1, target_modules=["q_proj"])
    spoil(adapter)
    with pytest.raises(CheckpointError, match=message):
        adapted(Checkpoint.open(base), [adapter])


def test_a_file_instead_of_a_folder_is_rejected(base: Path, tmp_path: Path) -> None:
    adapter = trained(base, tmp_path / "adapter", 1, target_modules=["q_proj"])
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors is a file\. Name the folder"):
        adapted(Checkpoint.open(base), [adapter / WEIGHTS])


def test_values_that_are_not_finite_are_refused(base: Path, tmp_path: Path) -> None:
    adapter = trained(base, tmp_path / "adapter", 1, target_modules=["q_proj"])
    changed_tensors(_not_finite)(adapter)
    tensors = adapted(Checkpoint.open(base), [adapter])
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        tensors.read(next(name for name in tensors.names() if name.endswith("q_proj.weight")))
    shutil.rmtree(adapter)
