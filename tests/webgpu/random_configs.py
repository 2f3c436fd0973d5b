"""Random small configs for hypothesis. Kernels support most of their sizes, but not all."""

from typing import Any

from hypothesis import strategies as st

Config = dict[str, Any]

SLIDING, FULL = "sliding_attention", "full_attention"

VOCABULARIES = st.integers(2048, 2500)
"""At least the tokens of the tokenizer of models/tiny."""


RARELY = st.sampled_from([False] * 39 + [True])


@st.composite
def widths(draw: st.DrawFn, most: int, step: int = 4) -> int:
    """Draw a size: mostly a multiple of `step` up to `step * most`, rarely another number."""
    return draw(st.integers(1, step * most)) if draw(RARELY) else step * draw(st.integers(1, most))


def sometimes(value: st.SearchStrategy[Any], otherwise: Any = None) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(otherwise), value)


@st.composite
def gemma4_text(draw: st.DrawFn) -> Config:
    """A bare Gemma 4."""
    kv_heads = draw(st.integers(1, 3))
    vocabulary = draw(VOCABULARIES)
    types = [*draw(st.lists(st.sampled_from([SLIDING, FULL]), max_size=4)), FULL]
    # Layers that share a cache need a layer of their kind before them.
    owners = next(count for count in range(1, 6) if set(types[:count]) == set(types))
    config: Config = {
        "model_type": "gemma4_text",
        "vocab_size": vocabulary,
        "hidden_size": draw(widths(26)),
        "intermediate_size": draw(widths(40)),
        "layer_types": types,
        "num_hidden_layers": len(types),
        "num_attention_heads": kv_heads * draw(st.integers(1, 3)),
        "num_key_value_heads": kv_heads,
        "head_dim": draw(widths(20)),
        "global_head_dim": draw(widths(20)),
        "sliding_window": draw(st.integers(1, 40)),
        "max_position_embeddings": 2048,
        "hidden_size_per_layer_input": draw(sometimes(widths(12), 0)),
        "vocab_size_per_layer_input": vocabulary + draw(st.sampled_from([0] * 20 + [7, 200, -3])),
        "final_logit_softcapping": draw(sometimes(st.just(5.0))),
        "num_kv_shared_layers": draw(st.integers(0, len(types) - owners)),
        "use_double_wide_mlp": draw(st.booleans()),
        "attention_k_eq_v": draw(st.booleans()),
        "tie_word_embeddings": draw(st.booleans()),
        "rope_parameters": {
            SLIDING: {"rope_type": "default", "rope_theta": 1e4},
            FULL: {
                "rope_type": "proportional",
                "rope_theta": 1e6,
                "partial_rotary_factor": draw(st.sampled_from([0.25, 1.0, 0.5] * 6 + [0.1, 0.01])),
            },
        },
    }
    if config["attention_k_eq_v"]:
        config["num_global_key_value_heads"] = draw(sometimes(st.sampled_from([1, kv_heads])))
    if draw(st.booleans()):
        experts = draw(st.integers(1, 9))
        config |= {
            "enable_moe_block": True,
            "num_experts": experts,
            "top_k_experts": draw(st.integers(1, experts)),
            "moe_intermediate_size": draw(widths(20)),
        }
    return config


@st.composite
def gemma3_text(draw: st.DrawFn) -> Config:
    """A Gemma 3."""
    kv_heads = draw(st.integers(1, 3))
    types = draw(st.lists(st.sampled_from([SLIDING, FULL]), min_size=1, max_size=4))
    heads = kv_heads * draw(st.integers(1, 3))
    return {
        "model_type": "gemma3_text",
        "vocab_size": draw(VOCABULARIES),
        "hidden_size": heads * draw(widths(8)),  # as transformers wants it
        "intermediate_size": draw(widths(40)),
        "layer_types": types,
        "num_hidden_layers": len(types),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": draw(widths(20)),
        "sliding_window": draw(st.integers(1, 40)),
        "max_position_embeddings": 2048,
        "query_pre_attn_scalar": 2,
        "tie_word_embeddings": draw(st.booleans()),
    }


@st.composite
def vision(draw: st.DrawFn) -> Config:
    """A vision tower."""
    kv_heads = draw(st.integers(1, 3))
    return {
        "model_type": "gemma4_vision",
        "hidden_size": draw(widths(26)),
        "intermediate_size": draw(widths(40)),
        "num_hidden_layers": draw(st.integers(1, 2)),
        "num_attention_heads": kv_heads * draw(st.integers(1, 3)),
        "num_key_value_heads": kv_heads,
        "head_dim": draw(st.one_of(widths(20), st.sampled_from([100, 116, 128]))),
        "patch_size": draw(widths(8, 2)),
        "pooling_kernel_size": draw(st.integers(1, 4)),
        "position_embedding_size": draw(st.integers(40, 60)),
        "use_clipped_linears": draw(st.booleans()),
        "standardize": draw(st.booleans()),
    }


@st.composite
def audio(draw: st.DrawFn) -> Config:
    """An audio tower."""
    heads = draw(st.integers(1, 4))
    left = draw(st.integers(2, 14))
    return {
        "model_type": "gemma4_audio",
        "hidden_size": heads * draw(widths(16)),
        "num_hidden_layers": draw(st.integers(1, 2)),
        "num_attention_heads": heads,
        "subsampling_conv_channels": [draw(widths(10, 16)), draw(widths(20, 1))],
        "conv_kernel_size": draw(st.integers(1, 6)),
        "attention_context_left": left,
        "attention_chunk_size": left - 1,
        "output_proj_dims": draw(widths(16)),
        "use_clipped_linears": draw(st.booleans()),
    }


@st.composite
def unified_vision(draw: st.DrawFn) -> Config:
    """Images without a tower."""
    width = draw(widths(26))
    return {
        "model_type": "gemma4_unified_vision",
        "patch_size": draw(widths(4, 2)),
        "pooling_kernel_size": draw(st.integers(1, 3)),
        "mm_embed_dim": width,
        "output_proj_dims": width,
        "mm_posemb_size": draw(st.integers(8, 40)),
    }


@st.composite
def unified_audio(draw: st.DrawFn) -> Config:
    """Audio without a tower."""
    return {"model_type": "gemma4_unified_audio", "audio_embed_dim": draw(widths(40))}
