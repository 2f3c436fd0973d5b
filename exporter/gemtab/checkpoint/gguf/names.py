"""Names of Gemma 3's and 4's tensors in llama.cpp and in transformers."""

import re

_WHOLE = {
    "token_embd.weight": "embed_tokens.weight",
    "output_norm.weight": "norm.weight",
    "per_layer_token_embd.weight": "embed_tokens_per_layer.weight",
    "per_layer_model_proj.weight": "per_layer_model_projection.weight",
    "per_layer_proj_norm.weight": "per_layer_projection_norm.weight",
}

_LAYER = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_q_norm.weight": "self_attn.q_norm.weight",
    "attn_k_norm.weight": "self_attn.k_norm.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "post_attention_norm.weight": "post_attention_layernorm.weight",
    "ffn_norm.weight": "pre_feedforward_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
    "post_ffw_norm.weight": "post_feedforward_layernorm.weight",
    "layer_output_scale.weight": "layer_scalar",
    "inp_gate.weight": "per_layer_input_gate.weight",
    "proj.weight": "per_layer_projection.weight",
    "post_norm.weight": "post_per_layer_input_norm.weight",
    "ffn_gate_inp.weight": "router.proj.weight",
    "ffn_gate_inp.scale": "router.scale",
    "ffn_down_exps.scale": "router.per_expert_scale",
    "ffn_gate_up_exps.weight": "experts.gate_up_proj",
    "ffn_down_exps.weight": "experts.down_proj",
    "pre_ffw_norm_2.weight": "pre_feedforward_layernorm_2.weight",
    "post_ffw_norm_1.weight": "post_feedforward_layernorm_1.weight",
    "post_ffw_norm_2.weight": "post_feedforward_layernorm_2.weight",
}

_IN_LAYER = re.compile(r"blk\.(\d+)\.(.+)")

HEAD = "output.weight"
"""The head of models without a tied head."""

ROPE_FREQUENCIES = "rope_freqs.weight"
"""Factors of the full layers' rotary frequencies: a part of the config, not a weight."""


TOWERS = ("v.", "a.", "mm.")
"""Prefixes of towers' tensors, which some converters add to the text model's file."""


def checkpoint_name(name: str) -> str | None:
    """Return transformers' name of the tensor `name`; None for unknown names."""
    if name == HEAD:
        return "lm_head.weight"
    if match := _IN_LAYER.fullmatch(name):
        inner = _LAYER.get(match[2])
        return None if inner is None else f"model.layers.{match[1]}.{inner}"
    return f"model.{_WHOLE[name]}" if name in _WHOLE else None
