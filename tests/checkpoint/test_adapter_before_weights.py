"""An adapter that does not fit is seen by the config alone, before a hub's weights are downloaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gemtab.errors import CheckpointError
from gemtab.export import check_without_weights
from tests.adapters import trained
from tests.variants import TINY

WEIGHTS = "adapter_model.safetensors"
Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    targets = r".*language_model.*(q_proj|embed_tokens|down_proj|per_layer_model_projection)|.*vision.*q_proj.linear"
    return trained(TINY, tmp_path_factory.mktemp("adapter"), 1, target_modules=targets, modules_to_save=["lm_head"])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "base", ignore=shutil.ignore_patterns("*.safetensors")))


def wider(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name: torch.zeros(4, 4096) if name.endswith("layers.0.self_attn.q_proj.lora_A.weight") else value
        for name, value in tensors.items()
    }


def test_one_that_fits_passes(base: Path, adapter: Path) -> None:
    check_without_weights(base, None, None, None, [adapter])
    check_without_weights(base, None, None, ["text"], [adapter])


NORM = "base_model.model.model.language_model.layers.0.input_layernorm"


def on_a_norm(_: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{NORM}.lora_A.weight": torch.zeros(4, 160), f"{NORM}.lora_B.weight": torch.zeros(160, 4)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (on_a_norm, "input_layernorm.weight, a vector, by low rank or by rows; only matrices can be changed so"),
        (lambda _: {f"{NORM}.trainable_tokens_delta": torch.zeros(2, 160)}, "a vector, by low rank or by rows"),
        (wider, r"shape \[4, 4096\], .* trained on another base"),
        (
            lambda tensors: {name.replace("layers.0", "layers.77"): value for name, value in tensors.items()},
            "layers.77",
        ),
        (lambda tensors: {name: value[:0] for name, value in tensors.items()}, "ZeRO-3"),
        (
            lambda tensors: {name: value[:9] if "lm_head" in name else value for name, value in tensors.items()},
            "lm_head.weight has 9 rows",
        ),
    ],
    ids=["norm", "tokens of a norm", "width", "layer", "empty", "rows"],
)
def test_what_does_not_fit_is_refused(base: Path, adapter: Path, change: Change, message: str, tmp_path: Path) -> None:
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    save_file(
        {name: value.contiguous() for name, value in change(load_file(adapter / WEIGHTS)).items()}, other / WEIGHTS
    )
    with pytest.raises(CheckpointError, match=message):
        check_without_weights(base, None, None, None, [other])


def test_tokens_without_rows_are_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    content = json.loads((TINY / "tokenizer.json").read_text())
    content["added_tokens"].append({**content["added_tokens"][0], "id": 2048, "content": "<persona>"})
    (other / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="adds <persona>, but the embedding has 2048 rows"):
        check_without_weights(base, None, None, None, [other])
