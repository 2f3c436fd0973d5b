"""Translate a GGUF file's metadata into a config.json of transformers.

llama.cpp keeps some facts in its code and not in the file; those facts are here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gemtab.checkpoint.gguf.file import GgufFile
from gemtab.checkpoint.gguf.harmless import GEMMA3_27B_LAYERS, readable
from gemtab.checkpoint.gguf.metadata import Gemma3Hyperparameters, Gemma4Hyperparameters, Hyperparameters, keys
from gemtab.checkpoint.gguf.names import HEAD, ROPE_FREQUENCIES
from gemtab.checkpoint.schema import LayerType, parse
from gemtab.errors import CheckpointError


def gguf_config(file: GgufFile) -> dict[str, Any]:
    """Return the config of a bare text model. Raises CheckpointError for missing, unknown or unsupported metadata."""
    prefix = f"{file.architecture}."
    if file.architecture == "gemma3":
        three = parse(Gemma3Hyperparameters, _given(file, prefix, Gemma3Hyperparameters), str(file.path), prefix)
        _check_heads(file, "", three.key_length, three.value_length, three.rotated)
        return _gemma3(file, three)
    four = parse(Gemma4Hyperparameters, _given(file, prefix, Gemma4Hyperparameters), str(file.path), prefix)
    _check_heads(file, "", four.key_length, four.value_length, four.rotated)
    _check_heads(file, "_swa", four.local_key_length or four.key_length, four.local_value_length, four.local_rotated)
    return _gemma4(file, four)


def _given(file: GgufFile, prefix: str, schema: type[Hyperparameters]) -> dict[str, object]:
    return readable(file.under(prefix), file.architecture, keys(schema))


def _check_heads(file: GgufFile, ending: str, width: int, value_length: int | None, rotated: int | None) -> None:
    """Raise CheckpointError where a head's values and keys differ in size, or only a part is rotated."""
    for key, found in (("attention.value_length", value_length), ("rope.dimension_count", rotated)):
        if found not in (None, width):
            raise CheckpointError(
                f"{file.path}: {file.architecture}.{key}{ending} is {found}; expected the size of a head, {width}."
            )


def _common(file: GgufFile, given: Hyperparameters) -> dict[str, Any]:
    table = file.tensors.get("token_embd.weight")
    if table is None:
        raise CheckpointError(
            f"{file.path} has no tensor token_embd.weight, the token embedding. Check that the file is complete."
        )
    return {
        "vocab_size": int(table.shape[1]),
        "hidden_size": given.embedding_length,
        "num_hidden_layers": given.block_count,
        "num_attention_heads": given.heads,
        "max_position_embeddings": given.context_length,
        # The shortest decimal of the f32: 1e-6, not 9.999999974752427e-07.
        "rms_norm_eps": float(str(np.float32(given.eps))),
        "sliding_window": given.window,
        "final_logit_softcapping": given.final_logit_softcapping,
        "hidden_activation": "gelu_pytorch_tanh",
        "tie_word_embeddings": HEAD not in file.tensors,
        "bos_token_id": file.vocabulary.bos,
        "eos_token_id": file.vocabulary.eos,
        "pad_token_id": file.vocabulary.padding or 0,
    }


def _gemma3(file: GgufFile, given: Gemma3Hyperparameters) -> dict[str, Any]:
    is_27b = given.block_count == GEMMA3_27B_LAYERS
    full: dict[str, Any] = {"rope_type": "default", "rope_theta": given.theta}
    if given.scaling != "none":
        full |= {"rope_type": given.scaling, "factor": given.scaling_factor}
    return {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        **_common(file, given),
        "intermediate_size": given.feed_forward_length,
        "num_key_value_heads": given.kv_heads,
        "head_dim": given.key_length,
        "query_pre_attn_scalar": given.embedding_length // given.heads if is_27b else given.key_length,
        "layer_types": _layer_types(given.pattern, given.block_count),
        "rope_parameters": {
            "full_attention": full,
            "sliding_attention": {"rope_type": "default", "rope_theta": given.local_theta},
        },
    }


def _gemma4(file: GgufFile, given: Gemma4Hyperparameters) -> dict[str, Any]:
    types = _layer_types(given.pattern, given.block_count)
    common = _common(file, given)
    return {
        "model_type": "gemma4_text",
        "architectures": ["Gemma4ForCausalLM"],
        **common,
        **_kv_heads(file, given, types),
        **_widths(file, given),
        "head_dim": given.local_key_length or given.key_length,
        "global_head_dim": given.key_length,
        "layer_types": types,
        "num_kv_shared_layers": given.shared_kv_layers,
        "hidden_size_per_layer_input": given.embedding_length_per_layer_input,
        "vocab_size_per_layer_input": common["vocab_size"],
        "enable_moe_block": given.expert_count is not None,
        "num_experts": given.expert_count,
        "top_k_experts": given.expert_used_count,
        "moe_intermediate_size": given.expert_feed_forward_length,
        "rope_parameters": {
            "full_attention": {
                "rope_type": "proportional",
                "rope_theta": given.theta,
                "partial_rotary_factor": _rotated_share(file),
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": given.local_theta},
        },
    }


def _layer_types(pattern: int | Sequence[bool], layers: int) -> list[LayerType]:
    """Return the layers' types. pattern: whether each layer is sliding, or the period of full layers."""
    slides = [(index + 1) % pattern != 0 for index in range(layers)] if isinstance(pattern, int) else pattern
    return ["sliding_attention" if sliding else "full_attention" for sliding in slides]


def _kv_heads(file: GgufFile, given: Gemma4Hyperparameters, types: Sequence[LayerType]) -> dict[str, Any]:
    """Return the numbers of KV heads of both types of layers. V is K on full layers without a tensor for V."""
    by_type = dict(zip(types, _by_layer(given.kv_heads, len(types)), strict=False))
    full = by_type.get("full_attention", 1)
    sliding = by_type.get("sliding_attention", full)
    first = types.index("full_attention") if "full_attention" in types else 0
    v_is_k = f"blk.{first}.attn_v.weight" not in file.tensors
    if full != sliding and not v_is_k:
        raise CheckpointError(
            f"{file.path}: full layers have {full} KV heads, sliding layers {sliding}, and V is separate from K; in "
            "Gemma 4 the numbers differ only where V is K."
        )
    return {
        "num_key_value_heads": sliding,
        "num_global_key_value_heads": full if v_is_k else None,
        "attention_k_eq_v": v_is_k,
    }


def _widths(file: GgufFile, given: Gemma4Hyperparameters) -> dict[str, Any]:
    """Return the MLPs' width, and whether layers that share KV have twice that width."""
    widths = _by_layer(given.feed_forward_length, given.block_count)
    width, last = widths[0], widths[-1]
    sharing = given.shared_kv_layers
    if widths != [width] * (given.block_count - sharing) + [last] * sharing or last not in (width, 2 * width):
        raise CheckpointError(
            f"{file.path}: gemma4.feed_forward_length is {widths}; expected one width, or twice that width in the last "
            f"{sharing} layers, which share KV."
        )
    return {"intermediate_size": width, "use_double_wide_mlp": last != width}


def _rotated_share(file: GgufFile) -> float:
    """Return the share of the full layers' pairs that are rotated: other pairs' frequencies are divided by 1e30."""
    tensor = file.tensors.get(ROPE_FREQUENCIES)
    if tensor is None:
        return 1.0
    factors = np.asarray(tensor.data)
    count = int((factors == 1.0).sum())
    if not ((factors[:count] == 1.0).all() and (factors[count:] >= 1e20).all()):
        raise CheckpointError(f"{file.path}: {ROPE_FREQUENCIES} has factors other than 1 and (nearly) infinite ones.")
    return count / len(factors)


def _by_layer(found: int | Sequence[int], layers: int) -> list[int]:
    return [found] * layers if isinstance(found, int) else list(found)
