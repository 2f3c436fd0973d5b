"""Faults of a checkpoint are explained in one paragraph, and nothing is left at the output."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.conftest import Gemtab, edit_json

WEIGHTS = "model.safetensors"
NORM = "model.language_model.layers.2.input_layernorm.weight"


def change_tensor(checkpoint: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    tensors = load_file(checkpoint / WEIGHTS)
    tensors[name] = change(tensors[name])
    save_file(tensors, checkpoint / WEIGHTS)


def poison(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        poisoned = tensor.clone()
        poisoned[7] = value
        return poisoned

    return change


def no_config(checkpoint: Path) -> None:
    (checkpoint / "config.json").unlink()


def broken_config(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_text('{"model_type": "gem')


def no_weights(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS).unlink()


def no_shard(checkpoint: Path) -> None:
    index = {"weight_map": dict.fromkeys(load_file(checkpoint / WEIGHTS), "model-00002-of-00002.safetensors")}
    (checkpoint / WEIGHTS).unlink()
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))


def truncated_weights(checkpoint: Path) -> None:
    whole = (checkpoint / WEIGHTS).read_bytes()
    (checkpoint / WEIGHTS).write_bytes(whole[: len(whole) // 2])


def no_tokenizer(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()


def broken_tokenizer_config(checkpoint: Path) -> None:
    (checkpoint / "tokenizer_config.json").write_text("{")


def no_template(checkpoint: Path) -> None:
    (checkpoint / "chat_template.jinja").unlink()


def wrong_end_tokens(checkpoint: Path) -> None:
    edit_json(checkpoint / "generation_config.json", eos_token_id="1")


def unknown_model(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", model_type="llama")


def unknown_feature(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", text_config__use_wormholes=True)


def wrong_shape(checkpoint: Path) -> None:
    change_tensor(checkpoint, NORM, lambda tensor: tensor[:-1].clone())


def lost_tensor(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / WEIGHTS)
    del tensors[NORM]
    save_file(tensors, checkpoint / WEIGHTS)


def not_a_number(checkpoint: Path) -> None:
    change_tensor(checkpoint, NORM, poison(float("nan")))


def infinite(checkpoint: Path) -> None:
    change_tensor(checkpoint, NORM, poison(float("-inf")))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_config, ["config.json"]),
        (broken_config, ["config.json"]),
        (no_weights, [WEIGHTS]),
        (no_shard, ["model-00002-of-00002.safetensors", "missing"]),
        (truncated_weights, [WEIGHTS, "bytes"]),
        (no_tokenizer, ["tokenizer.json", "missing"]),
        (broken_tokenizer_config, ["tokenizer_config.json"]),
        (no_template, ["chat_template.jinja", "missing"]),
        (wrong_end_tokens, ["generation_config.json", "eos_token_id"]),
        (unknown_model, ["llama", "gemma4"]),
        (unknown_feature, ["use_wormholes"]),
        (wrong_shape, [NORM, "[160]", "[159]"]),
        (lost_tensor, [NORM]),
        (not_a_number, [NORM, "NaN"]),
        (infinite, [NORM, "infinite"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_checkpoint_is_refused(
    gemtab: Gemtab, checkpoint: Path, tmp_path: Path, spoil: Callable[[Path], None], words: list[str]
) -> None:
    spoil(checkpoint)
    gemtab("export", checkpoint, tmp_path / "out").refused(3, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"], "something was left behind"


def test_a_failed_export_leaves_the_bundle_that_it_was_to_replace(
    gemtab: Gemtab, checkpoint: Path, bundle: Path
) -> None:
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    not_a_number(checkpoint)
    gemtab("export", checkpoint, bundle, "--force").refused(3, NORM)
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["bundle", "checkpoint"]


def test_a_source_that_is_not_there_is_wrong_use(gemtab: Gemtab, tmp_path: Path) -> None:
    gemtab("export", tmp_path / "nowhere", tmp_path / "out").refused(2, "nowhere")


def test_a_context_beyond_all_plans(gemtab: Gemtab, checkpoint: Path, tmp_path: Path) -> None:
    edit_json(checkpoint / "config.json", text_config__max_position_embeddings=2**31 - 1)
    result = gemtab("export", checkpoint, tmp_path / "out", "--context", str(2**31 - 1))
    result.refused(2, "--context 2147483647 is out of range: expected 1 to 524,288 tokens")
