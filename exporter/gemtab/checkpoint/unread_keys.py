"""Decide which unread keys of a config cannot change what the model computes.

transformers and training code write many keys that do not concern the model. Such keys are dropped. Any other key
stays, and the schema rejects it with an error that names it.
"""

import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from gemtab.bundle.soft_tokens import BUDGETS

# fmt: off
BOOKKEEPING: Final = frozenset({
    # Keys that transformers 4.46 to 5.x writes for every model.
    "_attn_implementation", "_attn_implementation_autoset", "_attn_implementation_internal", "_commit_hash",
    "_experts_implementation", "_name_or_path", "_output_attentions", "architectures", "attn_implementation",
    "auto_map", "chunk_size_feed_forward", "cross_attention_hidden_size", "dtype", "experts_implementation",
    "finetuning_task", "id2label", "initializer_factor", "initializer_range", "is_decoder", "label2id",
    "name_or_path", "num_labels", "output_attentions", "output_hidden_states", "output_router_logits", "prefix",
    "problem_type", "return_dict", "task_specific_params", "tf_legacy_loss", "tie_last_hidden_states",
    "tokenizer_class", "torch_dtype", "torchscript", "transformers_version", "transformers_weights", "use_bfloat16",
    "use_return_dict", "xla_device",
    # Settings of generation in older configs.
    "_from_model_config", "bad_words_ids", "cache_config", "cache_implementation", "compile_config", "constraints",
    "disable_compile", "diversity_penalty", "do_sample", "dola_layers", "early_stopping",
    "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "epsilon_cutoff", "eta_cutoff",
    "exponential_decay_length_penalty", "force_words_ids", "generation_config", "guidance_scale", "length_penalty",
    "low_memory", "max_cache_len", "max_length", "max_new_tokens", "max_time", "min_length", "min_new_tokens",
    "min_p", "no_repeat_ngram_size", "num_assistant_tokens", "num_assistant_tokens_schedule", "num_beam_groups",
    "num_beams", "num_return_sequences", "output_logits", "output_scores", "penalty_alpha", "prefill_chunk_size",
    "prompt_lookup_num_tokens", "remove_invalid_values", "renormalize_logits", "repetition_penalty",
    "return_dict_in_generate", "sequence_bias", "stop_strings", "temperature", "token_healing", "top_h", "top_k",
    "top_p", "typical_p", "use_cache", "use_mtp", "watermarking_config",
    # Training.
    "gradient_checkpointing", "gradient_checkpointing_kwargs", "neftune_noise_alpha", "router_aux_loss_coef",
    "router_jitter_noise", "use_gradient_checkpointing",
    # Tokens by name.
    "begin_suppress_tokens", "bos_token", "eos_token", "pad_token", "suppress_tokens", "unk_token",
    # Tools around transformers, and keys that an export adds.
    "base_model_name_or_path", "model_max_length", "model_name", "padding_side", "transformers.js_config",
    "trust_remote_code", "use_flash_attention_2",
    # The user of a draft model decides how many tokens to draft at a time.
    "block_size",
})
# fmt: on

_BOOKKEEPING: Final = re.compile(
    r"_?unsloth_\w+"
    # The tokenizer defines tokens; the ids that the model uses are read.
    r"|\w+_token_(ids?|index)"
    # Dropout is only for training.
    r"|(\w+_)?dropout(_\w+)?|\w+_pdrop"
)
"""More bookkeeping keys, by pattern."""

_TEXT: Final = ("gemma4_text", "gemma4_unified_text", "gemma3_text")

_FIXED: Final[Mapping[str, Mapping[str, object]]] = {
    **{kind: {"is_causal": True} for kind in _TEXT},
    "gemma4_vision": {"num_channels": 3},
}
"""The only values that gemtab supports. Null is rejected too: transformers reads a null `is_causal` as false."""

_SAME: Final[Mapping[str, Mapping[str, str]]] = {
    **{
        kind: {
            "expert_intermediate_size": "moe_intermediate_size",
            "hidden_act": "hidden_activation",
            "rope_local_base_freq": "rope_parameters.sliding_attention.rope_theta",
            "rope_theta": "rope_parameters.full_attention.rope_theta",
        }
        for kind in _TEXT
    },
    "gemma4_vision": {
        "global_head_dim": "head_dim",
        "hidden_act": "hidden_activation",
        "num_global_key_value_heads": "num_key_value_heads",
    },
    "gemma4_audio": {"hidden_activation": "hidden_act", "num_key_value_heads": "num_attention_heads"},
}
"""Keys that repeat another key."""

_SOFT_TOKENS: Final = frozenset({"default_output_length", "vision_soft_tokens_per_image"})
"""Numbers of an image's tokens: the processor sets them, and only its values are accepted."""


def without_unread(found: Mapping[str, Any], kind: str, read: Collection[str]) -> dict[str, Any]:
    """Return the config `found` without keys that cannot change the computation.

    kind: model_type of transformers' class, "" for an object without one. read: keys that gemtab reads.
    """
    return {key: value for key, value in found.items() if key in read or not _is_harmless(key, value, found, kind)}


def _is_harmless(key: str, value: object, found: Mapping[str, Any], kind: str) -> bool:
    if key in _FIXED.get(kind, {}):
        return same(value, _FIXED[kind][key])
    if value is None or value in ("", [], {}) or is_bookkeeping(key):
        return True
    if key in _SOFT_TOKENS:
        return any(same(value, budget) for budget in BUDGETS)
    if other := _SAME.get(kind, {}).get(key):
        return same(value, _said(other, found, kind))
    defaults = class_defaults().get(kind, {})
    return same(value, defaults[key]) if key in defaults else value is False


def _said(path: str, found: Mapping[str, Any], kind: str) -> object:
    """Return the value at a dotted path in the config, else in the defaults of transformers' class."""
    for source in (found, class_defaults().get(kind, {})):
        value: object = source
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return None


def same(one: object, other: object) -> bool:
    """Whether two JSON values are the same; numbers and booleans differ."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return isinstance(one, bool) == isinstance(other, bool) and one == other
    return type(one) is type(other) and one == other


@cache
def class_defaults() -> Mapping[str, Mapping[str, Any]]:
    """Return the defaults of transformers' config classes by model_type, without bookkeeping."""
    text = files("gemtab.checkpoint").joinpath("class_defaults.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def is_bookkeeping(key: str) -> bool:
    """Whether the key does not concern the model, whatever its value."""
    return key in BOOKKEEPING or _BOOKKEEPING.fullmatch(key) is not None
