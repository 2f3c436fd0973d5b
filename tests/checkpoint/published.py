"""The text configurations of the five published Gemma 4 models, without their towers, and of some Gemma 3; and how a
published config gets few tokens."""

from typing import Any

from gemtab.synth import SIZES, published_config

CONFIGS: dict[str, dict[str, Any]] = {
    size: {**published_config(size), "vision_config": None, "audio_config": None} for size in SIZES
}


def keep_tokens(config: dict[str, Any], count: int) -> None:
    """Makes the vocabulary of a published config so small; what marks images and audio are its last ids."""
    text = config["text_config"]
    text.update({key: count for key in ("vocab_size", "vocab_size_per_layer_input") if key in text})
    marks = sorted(key for key in config if key.endswith(("_token_id", "_token_index")) and key != "eos_token_id")
    config.update({key: count - 1 - number for number, key in enumerate(marks)})


def _gemma3(layers: int, hidden: int, intermediate: int, heads: int, kv_heads: int, **text: object) -> dict[str, Any]:
    return {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attn_logit_softcapping": None,
        "bos_token_id": 2,
        "cache_implementation": "hybrid",
        "eos_token_id": [1, 106],
        "final_logit_softcapping": None,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": intermediate,
        "max_position_embeddings": 32_768,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "pad_token_id": 0,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-6,
        "rope_local_base_freq": 10_000,
        "rope_scaling": None,
        "rope_theta": 1_000_000,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": 262_144,
        **text,
    }


GEMMA3: dict[str, dict[str, Any]] = {
    "270M": _gemma3(18, 640, 2048, 4, 1),
    "1B": _gemma3(26, 1152, 6912, 4, 1),
    "4B": _gemma3(
        34,
        2560,
        10_240,
        8,
        4,
        max_position_embeddings=131_072,
        rope_scaling={"factor": 8.0, "rope_type": "linear"},
        sliding_window=1024,
        vocab_size=262_208,
    ),
}
"""Gemma 3's text stacks; the 4B as a text model of its own."""
