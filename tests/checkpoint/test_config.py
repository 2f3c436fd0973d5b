"""config.json -> ModelSpec, for the five published shapes and for what must be refused.

The expected facts are those of the published models; the oracle for everything else is transformers' own config.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from gemtab.checkpoint import load_spec
from gemtab.errors import CheckpointError
from gemtab.model.spec import LayerSpec, ModelSpec, MoeSpec, RopeSpec
from tests.checkpoint.configs import assert_refused, write
from tests.checkpoint.published import CONFIGS


def published(name: str) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(CONFIGS[name]))
    return copy


def full(spec: ModelSpec) -> LayerSpec:
    return next(layer for layer in spec.text.layers if layer.attention.kind == "full")


@pytest.mark.parametrize(
    ("name", "layers", "hidden", "owners", "kv_heads", "per_layer", "v_is_k", "window"),
    [
        ("E2B", 35, 1536, 15, (1, 1), 256, False, 512),
        ("E4B", 42, 2560, 24, (2, 2), 256, False, 512),
        ("12B", 48, 3840, 48, (8, 1), 0, True, 1024),
        ("26B-A4B", 30, 2816, 30, (8, 2), 0, True, 1024),
        ("31B", 60, 5376, 60, (16, 4), 0, True, 1024),
    ],
)
def test_published_shapes(
    name: str,
    layers: int,
    hidden: int,
    owners: int,
    kv_heads: tuple[int, int],
    per_layer: int,
    v_is_k: bool,
    window: int,
    tmp_path: Path,
) -> None:
    text = load_spec(write(tmp_path, published(name))).text
    sliding, complete = text.layers[0].attention, text.layers[-1].attention
    assert (len(text.layers), text.hidden, text.per_layer_size) == (layers, hidden, per_layer)
    assert sum(layer.owns_kv for layer in text.layers) == owners
    assert (sliding.kind, complete.kind) == ("sliding", "full")
    assert (sliding.kv_heads, complete.kv_heads) == kv_heads
    assert (sliding.head_size, complete.head_size) == (256, 512)
    assert (sliding.window, complete.window) == (window, None)
    assert (sliding.v_is_k, complete.v_is_k) == (False, v_is_k)
    assert sliding.rope == RopeSpec(1e4, 128)
    assert complete.rope == RopeSpec(1e6, 64)
    assert (text.vocabulary, text.logit_cap, text.tied) == (262_144, 30.0, True)
    assert text.media_ids == (258_880, 258_881, 258_884)


def test_e2b_shares_kv_and_doubles_the_mlp_of_sharing_layers(tmp_path: Path) -> None:
    layers = load_spec(write(tmp_path, published("E2B"))).text.layers
    assert [layer.attention.kv_layer for layer in layers[:15]] == list(range(15))
    assert [layer.attention.kv_layer for layer in layers[15:]] == [
        14 if layer.attention.kind == "full" else 13 for layer in layers[15:]
    ]
    assert {layer.intermediate for layer in layers[:15]} == {6144}
    assert {layer.intermediate for layer in layers[15:]} == {12288}


def test_experts(tmp_path: Path) -> None:
    layers = load_spec(write(tmp_path, published("26B-A4B"))).text.layers
    assert {layer.moe for layer in layers} == {MoeSpec(experts=128, active=8, intermediate=704)}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_form_that_transformers_saves_means_the_same(name: str, tmp_path: Path) -> None:
    written = write(tmp_path / "published", published(name))
    AutoConfig.from_pretrained(written).save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert "per_layer_config" in saved["text_config"]
    assert load_spec(tmp_path / "saved") == load_spec(written)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_layer_as_transformers_resolves_it(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path, published(name))
    config = AutoConfig.from_pretrained(folder).get_text_config()
    for layer in load_spec(folder).text.layers:
        theirs = config.per_layer_config[layer.index]
        assert layer.attention.head_size == theirs.head_dim
        assert layer.attention.kv_heads == theirs.num_key_value_heads
        assert layer.owns_kv == (config.kv_sharing_modes[layer.index] != "reuse")
        assert layer.attention.kind == config.layer_types[layer.index].removesuffix("_attention")


@pytest.mark.parametrize("model_type", ["gemma4_text", "gemma4_unified_text"])
def test_missing_keys_have_the_defaults_of_transformers(model_type: str, tmp_path: Path) -> None:
    folder = write(tmp_path, {"model_type": model_type})
    config = AutoConfig.from_pretrained(folder)
    spec = load_spec(folder)
    text = spec.text
    assert (spec.text_prefix, text.media_ids) == ("model.", ())
    assert (text.vocabulary, text.hidden, text.eps) == (config.vocab_size, config.hidden_size, config.rms_norm_eps)
    assert text.max_positions == config.max_position_embeddings
    assert text.per_layer_size == getattr(config, "hidden_size_per_layer_input", 0)
    assert text.layers[0].attention.window == config.sliding_window
    assert full(spec).attention.head_size == 512
    kinds = [f"{layer.attention.kind}_attention" for layer in text.layers]
    assert kinds == config.layer_types


def test_full_layers_have_kv_heads_of_their_own_only_where_v_is_k(tmp_path: Path) -> None:
    config = published("31B")
    config["text_config"]["attention_k_eq_v"] = False
    assert full(load_spec(write(tmp_path, config))).attention.kv_heads == 16


def test_the_last_layer_is_full_whatever_the_config_says(tmp_path: Path) -> None:
    config = published("E4B")
    config["text_config"]["layer_types"][-1] = "sliding_attention"
    assert load_spec(write(tmp_path, config)).text.layers[-1].attention.kind == "full"


def with_text(**changes: object) -> dict[str, Any]:
    config = published("E2B")
    config["text_config"] |= changes
    return config


ROPE = published("E2B")["text_config"]["rope_parameters"]
YARN = {**ROPE, "full_attention": {"rope_type": "yarn", "rope_theta": 1e6}}


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({}, "model_type is None"),
        ({"model_type": "gemma4"}, "text_config is missing"),
        (with_text(attention_sinks=4), "text_config.attention_sinks = 4"),
        (with_text(hidden_activation="silu"), "text_config.hidden_activation = 'silu'"),
        (with_text(attention_bias=True), "text_config.attention_bias = True"),
        (with_text(use_bidirectional_attention="all"), "text_config.use_bidirectional_attention = 'all'"),
        (with_text(model_type="gemma3_text"), "text_config.model_type = 'gemma3_text'"),
        (with_text(layer_types=["chunked_attention"] * 35), "text_config.layer_types.0 = 'chunked_attention'"),
        (with_text(layer_types=["full_attention"] * 3), "layer_types has 3 entries, num_hidden_layers is 35"),
        (with_text(rope_parameters=YARN), "text_config.rope_parameters.full_attention.rope_type = 'yarn'"),
        (with_text(rope_parameters={"full_attention": ROPE["full_attention"]}), "no entry for sliding_attention"),
        (with_text(num_kv_shared_layers=33), "leaves no full_attention layer"),
        (with_text(num_kv_shared_layers=35), "num_kv_shared_layers = 35 of 35"),
        (with_text(num_attention_heads=7, num_key_value_heads=2), "7 heads, 2 KV heads"),
        (with_text(hidden_size="wide"), "text_config.hidden_size = 'wide'"),
        (with_text(enable_moe_block=True, num_experts=4), "top_k_experts"),
        (with_text(per_layer_config={"40": {"head_dim": 512}}), "names layer 40"),
        (with_text(per_layer_config={"4": {"head_dim": 512}}), "different (head_dim, num_key_value_heads)"),
        (with_text(per_layer_config={"4": {"intermediate_size": 1}}), "per_layer_config.4.intermediate_size"),
        ({**published("E2B"), "quantization_config": {"quant_method": "awq"}}, "quant_method 'awq'"),
        ({**published("E2B"), "image_token_id": "x"}, "image_token_id = 'x'"),
    ],
)
def test_what_is_unknown_is_rejected_and_named(config: dict[str, Any], named: str, tmp_path: Path) -> None:
    assert_refused(tmp_path, config, named)


@pytest.mark.parametrize(
    ("text", "named"), [(None, "is missing"), ("{", "cannot be read"), ("[]", "expected a JSON object, found list")]
)
def test_a_config_that_is_not_there_or_not_json(text: str | None, named: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=named):
        load_spec(tmp_path)


def test_what_an_export_adds_to_a_config_is_no_part_of_the_model(tmp_path: Path) -> None:
    """Bundles of bare text models are read back too, as by `verify`."""
    bare = {**published("E2B")["text_config"], "model_type": "gemma4_text"}
    added = {**bare, "transformers.js_config": {"dtype": {}}}
    assert load_spec(write(tmp_path / "added", added)) == load_spec(write(tmp_path / "bare", bare))
