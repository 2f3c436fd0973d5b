"""Keys of config.json that gemtab does not read: bookkeeping is dropped, what could change the model is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, GenerationConfig

from gemtab.checkpoint import load_spec
from gemtab.checkpoint.config import parse_config
from gemtab.checkpoint.gemma3 import Gemma3TextConfig
from gemtab.checkpoint.schema import (
    AssistantConfig,
    AudioConfig,
    NestedConfig,
    Said,
    TextConfig,
    UnifiedAssistantConfig,
    UnifiedAudioConfig,
    UnifiedNestedConfig,
    UnifiedTextConfig,
    UnifiedVisionConfig,
    VisionConfig,
)
from gemtab.checkpoint.unread_keys import class_defaults
from gemtab.model.spec import ModelSpec
from gemtab.synth import SIZES, published_config
from tests.checkpoint.class_defaults import installed_defaults
from tests.checkpoint.configs import assert_refused, write
from tests.checkpoint.published import GEMMA3
from tests.checkpoint.test_assistant import E2B as ASSISTANT
from tests.checkpoint.test_assistant import UNIFIED as UNIFIED_ASSISTANT

Config = dict[str, Any]

CONFIGS: dict[str, Config] = {
    **{size: published_config(size) for size in SIZES},
    "bare": {**published_config("E2B")["text_config"], "architectures": ["Gemma4ForCausalLM"]},
    "bare 12B": published_config("12B")["text_config"],
    **{f"Gemma 3 {size}": config for size, config in GEMMA3.items()},
    "assistant": ASSISTANT,
    "unified assistant": UNIFIED_ASSISTANT,
}
"""One config of each kind that gemtab reads."""

PARTS = ("text_config", "vision_config", "audio_config")

TRANSFORMERS_4: Config = {
    "_attn_implementation_autoset": True,
    "_name_or_path": "google/gemma",
    "add_cross_attention": False,
    "architectures": None,
    "bad_words_ids": None,
    "begin_suppress_tokens": None,
    "bos_token_id": 2,
    "chunk_size_feed_forward": 0,
    "cross_attention_hidden_size": None,
    "decoder_start_token_id": None,
    "diversity_penalty": 0.0,
    "do_sample": True,
    "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0,
    "eos_token_id": [1, 106],
    "exponential_decay_length_penalty": None,
    "finetuning_task": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "is_decoder": False,
    "is_encoder_decoder": False,
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "prefix": None,
    "problem_type": None,
    "pruned_heads": {},
    "remove_invalid_values": False,
    "repetition_penalty": 1.0,
    "return_dict": True,
    "return_dict_in_generate": False,
    "sep_token_id": None,
    "suppress_tokens": None,
    "task_specific_params": None,
    "temperature": 1.0,
    "tf_legacy_loss": False,
    "tie_encoder_decoder": False,
    "tokenizer_class": None,
    "top_k": 64,
    "top_p": 0.95,
    "torch_dtype": "bfloat16",
    "torchscript": False,
    "transformers_version": "4.46.3",
    "typical_p": 1.0,
    "use_bfloat16": False,
}
"""Keys that transformers 4.46 writes for every model and every part, with `use_diff=False`."""

TRAINERS: Config = {
    "_attn_implementation": "sdpa",
    "_unsloth_version": "2026.5.2",
    "attention_dropout": 0.1,
    "gradient_checkpointing": True,
    "model_name": "unsloth/gemma",
    "pad_token": "<pad>",
    "unsloth_fixed": True,
    "unsloth_version": "2026.4.4",
    "use_cache": False,
}
"""Keys that training code leaves."""

GENERATION: Config = {
    **GenerationConfig(do_sample=True, top_k=64, max_new_tokens=5).to_dict(),
    "_from_model_config": True,
}


def copy(config: Config) -> Config:
    copied: Config = json.loads(json.dumps(config))
    return copied


def everywhere(config: Config, keys: Config) -> Config:
    """The config with these keys at its top and in each of its parts, where they do not say otherwise."""
    parts = {key: {**keys, **config[key]} for key in PARTS if isinstance(config.get(key), dict)}
    return {**keys, **config, **parts}


def spec(config: Config) -> ModelSpec:
    return parse_config(copy(config), "config.json")


def test_the_data_are_the_installed_transformers() -> None:
    """Else run `python -m tests.checkpoint.class_defaults` and see what changed."""
    assert class_defaults() == installed_defaults()


SCHEMAS: tuple[type[Said], ...] = (
    Gemma3TextConfig, NestedConfig, TextConfig, VisionConfig, AudioConfig, AssistantConfig, UnifiedNestedConfig,
    UnifiedTextConfig, UnifiedVisionConfig, UnifiedAudioConfig, UnifiedAssistantConfig,
)  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.kind())
def test_what_is_read_has_the_defaults_of_the_class(schema: type[Said]) -> None:
    said = class_defaults()[schema.kind()]
    # These are resolved from null: see test_config.
    resolved = {"layer_types", "rope_parameters", "per_layer_config"}
    fields = {field.alias or name: field for name, field in schema.model_fields.items()}
    for key in said.keys() & fields.keys() - resolved:
        default = fields[key].default
        assert (list(default) if isinstance(default, tuple) else default) == said[key], key
    assert said.keys() - fields.keys() <= {"is_encoder_decoder"}


@pytest.mark.parametrize(
    "keys", [TRANSFORMERS_4, TRAINERS, GENERATION], ids=["transformers 4", "trainers", "generation"]
)
@pytest.mark.parametrize("name", CONFIGS)
def test_bookkeeping_is_no_part_of_the_model(name: str, keys: Config) -> None:
    assert spec(everywhere(CONFIGS[name], keys)) == spec(CONFIGS[name])


@pytest.mark.parametrize("diff", [True, False], ids=["to_diff_dict", "to_dict"])
@pytest.mark.parametrize("name", CONFIGS)
def test_what_transformers_writes_means_the_same(name: str, diff: bool, tmp_path: Path) -> None:
    loaded = AutoConfig.from_pretrained(write(tmp_path, CONFIGS[name]))
    written: Config = json.loads(loaded.to_json_string(use_diff=diff))
    assert load_spec(write(tmp_path, written)) == spec(CONFIGS[name])


E4B = CONFIGS["E4B"]


def test_the_published_keys_are_those_of_the_plain_model() -> None:
    """Published configs say much that is null, false or said elsewhere; a config without all that is the same model."""
    said_again = {
        "text_config": ("expert_intermediate_size", "moe_intermediate_size", "num_experts", "top_k_experts"),
        "vision_config": ("default_output_length", "global_head_dim", "is_encoder_decoder", "id2label", "dtype"),
        "audio_config": ("is_encoder_decoder", "attention_invalid_logits_value", "problem_type"),
    }
    plain = copy(E4B)
    for part, keys in said_again.items():
        for key in keys:
            assert key in plain[part]
            del plain[part][key]
    del plain["vision_soft_tokens_per_image"], plain["eoa_token_id"]
    assert spec(plain) == spec(E4B)


def changed(**parts: Config) -> Callable[[], Config]:
    """E4B's config with other entries in its parts; `top` is the whole."""

    def make() -> Config:
        config = copy(E4B)
        for part, keys in parts.items():
            (config if part == "top" else config[part]).update(keys)
        return config

    return make


@pytest.mark.parametrize(
    "config",
    [
        changed(text_config={"is_causal": True, "rope_theta": 1e6, "rope_local_base_freq": 10_000}),
        changed(text_config={"expert_intermediate_size": None, "hidden_act": "gelu_pytorch_tanh"}),
        changed(text_config={"some_feature": False, "another": None, "a_list": [], "a_text": "", "an_object": {}}),
        changed(vision_config={"num_channels": 3, "num_global_key_value_heads": 12, "global_head_dim": 64}),
        changed(audio_config={"num_key_value_heads": 8, "hidden_activation": "silu", "audio_soft_token_id": 7}),
        changed(top={"hidden_size": 2560, "vocab_size": 262_144, "layer_types": E4B["text_config"]["layer_types"]}),
        changed(top={"image_token_index": 258_880, "is_encoder_decoder": False, "some_feature": False}),
        changed(
            text_config={
                "rope_parameters": {
                    "full_attention": {"type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25},
                    "sliding_attention": {"rope_theta": 1e4, "factor": 1.0, "attention_factor": None},
                    "rope_theta": None,
                }
            }
        ),
    ],
)
def test_what_cannot_change_the_model_is_accepted(config: Callable[[], Config]) -> None:
    assert spec(config()) == spec(E4B)


def test_null_overrides_are_none(tmp_path: Path) -> None:
    """As in transformers: full layers then have the sizes of all layers."""
    config = changed(text_config={"per_layer_config": None})()
    theirs = AutoConfig.from_pretrained(write(tmp_path, config)).get_text_config()
    assert [layer.attention.head_size for layer in spec(config).text.layers] == [theirs.head_dim] * 42


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (changed(text_config={"is_causal": False}), "text_config.is_causal = False"),
        (changed(text_config={"is_causal": None}), "text_config.is_causal = None"),
        (changed(text_config={"is_encoder_decoder": True}), "text_config.is_encoder_decoder = True"),
        (changed(text_config={"some_feature": True}), "text_config.some_feature = True"),
        (changed(text_config={"some_size": 0}), "text_config.some_size = 0"),
        (changed(text_config={"expert_intermediate_size": 704}), "text_config.expert_intermediate_size = 704"),
        (changed(text_config={"rope_theta": 5e5}), "text_config.rope_theta = 500000.0"),
        (changed(text_config={"num_register_tokens": 4}), "text_config.num_register_tokens = 4"),
        (changed(text_config={"add_cross_attention": True}), "text_config.add_cross_attention = True"),
        (changed(text_config={"pruned_heads": {"0": [1]}}), "text_config.pruned_heads = {'0': [1]}"),
        (changed(vision_config={"global_head_dim": 72}), "vision_config.global_head_dim = 72"),
        (changed(vision_config={"default_output_length": 281}), "vision_config.default_output_length = 281"),
        (changed(vision_config={"num_global_key_value_heads": 4}), "vision_config.num_global_key_value_heads = 4"),
        (changed(vision_config={"num_channels": 1}), "vision_config.num_channels = 1"),
        (changed(vision_config={"is_encoder_decoder": True}), "vision_config.is_encoder_decoder = True"),
        (changed(audio_config={"num_key_value_heads": 4}), "audio_config.num_key_value_heads = 4"),
        (changed(audio_config={"pre_emphasis": 0.97}), "audio_config.pre_emphasis = 0.97"),
        (changed(top={"hidden_size": 2048}), "hidden_size = 2048"),
        (changed(top={"num_deepstack_layers": 3}), "num_deepstack_layers = 3"),
        (lambda: {**CONFIGS["Gemma 3 1B"], "query_scale": 2.0}, "query_scale = 2.0"),
        (lambda: {**CONFIGS["Gemma 3 1B"], "is_causal": False}, "is_causal = False"),
        (lambda: {**ASSISTANT, "num_heads_of_its_own": 2}, "num_heads_of_its_own = 2"),
        (
            changed(text_config={"rope_parameters": {"full_attention": {"type": "default", "rope_type": "proportional",
                                                                        "rope_theta": 1e6}}}),
            "rope_parameters.full_attention.type = 'default'",
        ),
        (
            changed(top={"quantization_config": {"quant_method": "gemma", "group_size": 32}}),
            "quantization_config.group_size = 32",
        ),
    ],
)  # fmt: skip
def test_what_could_change_the_model_is_refused(config: Callable[[], Config], named: str, tmp_path: Path) -> None:
    assert_refused(tmp_path, config(), named)


@pytest.mark.parametrize(
    "architecture",
    [
        "Gemma4ForSequenceClassification",
        "Gemma3TextForSequenceClassification",
        "Gemma4ForTokenClassification",
        "Gemma4TextModel",
        "AutoModelForCausalLMWithValueHead",
    ],
)
@pytest.mark.parametrize("name", ["E4B", "bare", "Gemma 3 1B", "assistant"])
def test_models_that_write_no_text_are_refused(name: str, architecture: str, tmp_path: Path) -> None:
    assert_refused(tmp_path, {**CONFIGS[name], "architectures": [architecture]}, architecture)
