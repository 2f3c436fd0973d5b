"""config.json of draft models -> ModelSpec, their tensors, and the rejections of both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Gemma4AssistantConfig, Gemma4UnifiedAssistantConfig

from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.errors import CheckpointError
from gemtab.model.draft import draft_graph
from gemtab.model.spec import AssistantSpec, CentroidSpec, ModelSpec
from tests.assistants import assistant
from tests.checkpoint.configs import assert_refused, write

SLIDING, FULL = "sliding_attention", "full_attention"

# As the draft models of E2B and of 12B are described: four small layers, sizes of keys and values the target's.
E2B: dict[str, Any] = {
    "model_type": "gemma4_assistant",
    "architectures": ["Gemma4AssistantForCausalLM"],
    "backbone_hidden_size": 1536,
    "use_ordered_embeddings": True,
    "num_centroids": 2048,
    "centroid_intermediate_top_k": 32,
    "tie_word_embeddings": True,
    "text_config": {
        "model_type": "gemma4_text",
        "vocab_size": 262_144,
        "vocab_size_per_layer_input": 0,
        "hidden_size": 256,
        "hidden_size_per_layer_input": 0,
        "intermediate_size": 2048,
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 4,
        "layer_types": [SLIDING, SLIDING, SLIDING, FULL],
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "global_head_dim": 512,
        "sliding_window": 512,
        "final_logit_softcapping": 30.0,
    },
}
UNIFIED: dict[str, Any] = {
    "model_type": "gemma4_unified_assistant",
    "text_config": {
        "model_type": "gemma4_unified_text",
        "hidden_size": 1024,
        "num_hidden_layers": 2,
        "layer_types": [SLIDING, FULL],
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
    },
}


def changed(**changes: object) -> dict[str, Any]:
    """E2B's config with other entries; None removes."""
    return {key: value for key, value in {**E2B, **changes}.items() if value is not None}


def with_text(**changes: object) -> dict[str, Any]:
    text = {key: value for key, value in {**E2B["text_config"], **changes}.items() if value is not None}
    return changed(text_config=text)


def assistant_of(spec: ModelSpec) -> AssistantSpec:
    assert spec.assistant is not None
    return spec.assistant


def test_layers_read_the_targets_caches(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, E2B))
    assert (spec.model_type, spec.text_prefix) == ("gemma4_assistant", "model.")
    assert assistant_of(spec) == AssistantSpec(1536, CentroidSpec(2048, 32))
    layers = [layer.attention for layer in spec.text.layers]
    assert [attention.kv_layer for attention in layers] == ["sliding", "sliding", "sliding", "full"]
    assert [attention.window for attention in layers] == [514, 514, 514, None]
    assert not any(layer.owns_kv for layer in spec.text.layers)
    # transformers' assistant has no soft cap, though its text config may say one.
    assert (spec.text.logit_cap, spec.text.tied, spec.text.image_blocks) == (None, True, False)
    caches = {value.name: value.shape for value in draft_graph(spec.text, assistant_of(spec)).inputs}
    assert (caches["kv.sliding"], caches["kv.full"]) == (("P", 1, 256), ("P", 1, 512))


def test_a_draft_model_of_the_unified_model(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, UNIFIED))
    assert assistant_of(spec) == AssistantSpec(3840, None)
    assert [layer.attention.kv_heads for layer in spec.text.layers] == [8, 1]
    assert [layer.attention.window for layer in spec.text.layers] == [1026, None]


@pytest.mark.parametrize("config", [E2B, UNIFIED])
def test_the_form_that_transformers_saves_means_the_same(config: dict[str, Any], tmp_path: Path) -> None:
    written = write(tmp_path / "published", config)
    kind = Gemma4UnifiedAssistantConfig if "unified" in config["model_type"] else Gemma4AssistantConfig
    kind.from_pretrained(written).save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert "per_layer_config" in saved["text_config"]
    assert saved["text_config"]["num_kv_shared_layers"] == len(config["text_config"]["layer_types"])
    assert load_spec(tmp_path / "saved") == load_spec(written)


def test_no_shared_layers_means_all_of_them(tmp_path: Path) -> None:
    said = load_spec(write(tmp_path / "said", E2B))
    assert load_spec(write(tmp_path / "unsaid", with_text(num_kv_shared_layers=None))) == said


def test_centroids_that_are_not_used_need_not_fit(tmp_path: Path) -> None:
    config = changed(use_ordered_embeddings=False, num_centroids=2047)
    assert assistant_of(load_spec(write(tmp_path, config))).centroids is None


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (changed(text_config=None), "text_config is missing"),
        (changed(attention_sinks=4), "attention_sinks = 4"),
        (changed(backbone_hidden_size=0), "backbone_hidden_size = 0"),
        (changed(num_centroids=2047), "num_centroids = 2047"),
        (changed(centroid_intermediate_top_k=4096), "centroid_intermediate_top_k = 4096"),
        (changed(quantization_config={"quant_method": "gemma"}), "quant_method 'gemma'"),
        (with_text(model_type="gemma4_unified_text"), "text_config.model_type = 'gemma4_unified_text'"),
        (with_text(num_kv_shared_layers=3), "num_kv_shared_layers = 3 of 4 layers; expected all layers"),
        (with_text(hidden_size_per_layer_input=256), "text_config.hidden_size_per_layer_input = 256"),
        (with_text(hidden_size_per_layer_input=None), "text_config.hidden_size_per_layer_input is missing"),
        (with_text(vocab_size_per_layer_input=512), "text_config.vocab_size_per_layer_input = 512"),
        (with_text(enable_moe_block=True), "text_config.enable_moe_block = True"),
        (with_text(use_double_wide_mlp=True), "text_config.use_double_wide_mlp = True"),
        (with_text(attention_sinks=4), "text_config.attention_sinks = 4"),
    ],
)
def test_what_is_unknown_or_contradictory_is_rejected_and_named(
    config: dict[str, Any], named: str, tmp_path: Path
) -> None:
    assert_refused(tmp_path, config, named)


def first_twice(tensors: dict[str, torch.Tensor]) -> None:
    tensors["masked_embedding.token_ordering"][1] = tensors["masked_embedding.token_ordering"][0]


def beyond_the_vocabulary(tensors: dict[str, torch.Tensor]) -> None:
    tensors["masked_embedding.token_ordering"][7] = 384


def one_short(tensors: dict[str, torch.Tensor]) -> None:
    tensors["masked_embedding.token_ordering"] = tensors["masked_embedding.token_ordering"][:-1].clone()


def no_ordering(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["masked_embedding.token_ordering"]


def narrow_projection(tensors: dict[str, torch.Tensor]) -> None:
    tensors["pre_projection.weight"] = tensors["pre_projection.weight"][:, :160].clone()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (first_twice, ["token_ordering", "each of 0 … 383 once", "found 383 different"]),
        (beyond_the_vocabulary, ["token_ordering", "to 384"]),
        (one_short, ["token_ordering", "[384]", "[383]"]),
        (no_ordering, ["masked_embedding.token_ordering"]),
        (narrow_projection, ["pre_projection.weight", "[64, 320]", "[64, 160]"]),
    ],
)
def test_tensors_are_checked_before_anything_is_read(
    change: Callable[[dict[str, torch.Tensor]], None], words: list[str], tmp_path: Path
) -> None:
    folder = assistant("centroids", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    spec = load_spec(folder)
    weights = CheckpointWeights(Checkpoint.open(folder), spec)
    with pytest.raises(CheckpointError) as caught:
        weights.check(draft_graph(spec.text, assistant_of(spec)).weights())
    for word in words:
        assert word in str(caught.value)
