"""Small GGUF files, as llama.cpp's converter writes them of a checkpoint that transformers saved.

Tensor names are those of the gguf package's own table, not of gemtab's.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from safetensors.torch import load_file
from tokenizers import Tokenizer

F32, Q4_0 = GGMLQuantizationType.F32, GGMLQuantizationType.Q4_0
NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6
SPELLED = {"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>'}
"""Tokens that the converter makes user-defined, so that they are shown."""


Stored = Callable[[str, torch.Tensor], np.ndarray | None]
"""The bytes of a tensor by its name in the file and its values; None where it is written otherwise."""


def write_gguf(
    source: Path,
    path: Path,
    kind: GGMLQuantizationType = F32,
    stored: Mapping[GGMLQuantizationType, Stored] | None = None,
    **changes: Any,
) -> Path:
    """Writes the checkpoint's text model and tokenizer; matrices in `kind`, the rest in f32.

    stored: by type, what gives the bytes of tensors that are written in that type instead. changes: metadata to be
    written otherwise, dots as double underscores; None leaves a key out.
    """
    config = json.loads((source / "config.json").read_text())
    text = config.get("text_config", config)
    is_3 = text["model_type"] == "gemma3_text"
    arch = "gemma3" if is_3 else "gemma4"
    writer = GGUFWriter(path, arch)
    given = {f"{arch}.{key}": value for key, value in (gemma3(text) if is_3 else gemma4(text)).items()}
    given |= {"general.license": "apache-2.0", **vocabulary(source, arch)}
    given |= {key.replace("__", "."): value for key, value in changes.items()}
    for key, value in given.items():
        add(writer, key, value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3 if is_3 else gguf.MODEL_ARCH.GEMMA4, 64)
    for name, tensor in load_file(source / "model.safetensors").items():
        if "tower" not in name and "embed_vision" not in name and "embed_audio" not in name:
            added = tensor.float() + 1 if is_3 and name.endswith("norm.weight") else tensor.float()
            theirs = gguf_name(names, name.replace("language_model.", ""))
            for number, data in ((number, make(theirs, added)) for number, make in (stored or {}).items()):
                if data is not None:
                    writer.add_tensor(theirs, data, raw_dtype=number)
                    break
            else:
                write_tensor(writer, theirs, added, kind)
    if not is_3:
        write_tensor(writer, "rope_freqs.weight", rope_factors(text), F32)
    finish(writer)
    return path


def scale_by_head_size(folder: Path) -> None:
    """Lets scores be scaled as in all published Gemma 3 but the 27B: a GGUF cannot say otherwise."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "query_pre_attn_scalar": config["head_dim"]}))


def finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_tensor(writer: GGUFWriter, name: str, tensor: torch.Tensor, kind: GGMLQuantizationType) -> None:
    stored = kind if tensor.dim() > 1 else F32
    writer.add_tensor(name, gguf.quantize(tensor.numpy(), stored), raw_dtype=stored)


def gguf_name(names: gguf.TensorNameMap, name: str) -> str:
    """As the converter maps names: `.weight` goes and comes back, the router's scales have names of their own."""
    layer = name.split(".")[2]
    if name.endswith("router.scale"):
        return f"blk.{layer}.ffn_gate_inp.scale"
    if name.endswith("router.per_expert_scale"):
        return f"blk.{layer}.ffn_down_exps.scale"
    found = names.get_name(name.removesuffix(".weight"))
    assert found is not None, name
    return f"{found}.weight"


def add(writer: GGUFWriter, key: str, value: Any) -> None:
    """Adds metadata of the value's own type."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif value is not None:
        writer.add_array(key, value)


def common(text: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "context_length": text["max_position_embeddings"],
        "embedding_length": text["hidden_size"],
        "block_count": text["num_hidden_layers"],
        "feed_forward_length": text["intermediate_size"],
        "attention.head_count": text["num_attention_heads"],
        "attention.head_count_kv": text["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": text["rms_norm_eps"],
        "attention.key_length": text["head_dim"],
        "attention.value_length": text["head_dim"],
        "attention.sliding_window": text["sliding_window"],
        "attention.sliding_window_pattern": [kind == "sliding_attention" for kind in text["layer_types"]],
        "final_logit_softcapping": text["final_logit_softcapping"],
        "rope.freq_base": text["rope_parameters"]["full_attention"]["rope_theta"],
    }


def gemma3(text: Mapping[str, Any]) -> dict[str, Any]:
    full = text["rope_parameters"]["full_attention"]
    scaling = {"rope.scaling.type": "linear", "rope.scaling.factor": full["factor"]}
    return {**common(text), **(scaling if full["rope_type"] == "linear" else {})}


def gemma4(text: Mapping[str, Any]) -> dict[str, Any]:
    layers, shared = text["num_hidden_layers"], text["num_kv_shared_layers"]
    sliding = [kind == "sliding_attention" for kind in text["layer_types"]]
    widened = 2 if text["use_double_wide_mlp"] else 1
    width = text["intermediate_size"]
    sizes = {int(index): one for index, one in text["per_layer_config"].items()}
    full = next(sizes.get(index, {}) for index, slides in enumerate(sliding) if not slides)
    head, kv = full.get("head_dim", text["head_dim"]), full.get("num_key_value_heads", text["num_key_value_heads"])
    widths = [width * (1 if index < layers - shared else widened) for index in range(layers)]
    kv_heads = [text["num_key_value_heads"] if slides else kv for slides in sliding]
    return {
        **common(text),
        "feed_forward_length": widths if len(set(widths)) > 1 else width,
        "attention.head_count_kv": kv_heads if len(set(kv_heads)) > 1 else kv,
        "attention.shared_kv_layers": shared,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.key_length_swa": text["head_dim"],
        "attention.value_length_swa": text["head_dim"],
        "rope.dimension_count": head,
        "rope.dimension_count_swa": text["head_dim"],
        "rope.freq_base_swa": text["rope_parameters"]["sliding_attention"]["rope_theta"],
        "embedding_length_per_layer_input": text.get("hidden_size_per_layer_input", 0),
        "expert_count": text.get("num_experts"),
        "expert_used_count": text.get("top_k_experts"),
        "expert_feed_forward_length": text.get("moe_intermediate_size"),
    }


def rope_factors(text: Mapping[str, Any]) -> torch.Tensor:
    """1 for the pairs of a full layer's head that turn, 1e30 for the others."""
    sizes = {int(index): one for index, one in text["per_layer_config"].items()}
    full = text["layer_types"].index("full_attention")
    head = sizes.get(full, {}).get("head_dim", text["head_dim"])
    turning = int(head * text["rope_parameters"]["full_attention"]["partial_rotary_factor"] / 2)
    return torch.tensor([1.0] * turning + [1e30] * (head // 2 - turning))


def vocabulary(source: Path, arch: str) -> dict[str, Any]:
    """The tokenizer's metadata: Gemma 3's has scores, and Gemma 4's merges."""
    config = json.loads((source / "tokenizer_config.json").read_text())
    described = json.loads((source / "tokenizer.json").read_text())
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokens = [tokenizer.id_to_token(index) or "" for index in range(tokenizer.get_vocab_size())]
    special = {token["content"] for token in described["added_tokens"] if token["special"]}
    plain = {token["content"] for token in described["added_tokens"] if not token["special"]}
    if arch == "gemma4":
        plain, special = plain | (special & SPELLED), special - SPELLED

    def kind(token: str) -> int:
        if token in special or token in plain:
            return CONTROL if token in special else USER_DEFINED
        return BYTE if token.startswith("<0x") else NORMAL

    # The converter of Gemma 3 reads SentencePiece's own spelling, in which runs of spaces are spaces.
    spaces = {token for token in tokens if arch == "gemma3" and len(token) > 1 and not token.strip("▁")}
    merges = {"tokenizer.ggml.merges": [" ".join(pair) for pair in described["model"]["merges"]]}
    return {
        "tokenizer.ggml.model": "llama" if arch == "gemma3" else "gemma4",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [" " * len(token) if token in spaces else token for token in tokens],
        "tokenizer.ggml.scores": np.linspace(0, -1000, len(tokens)).tolist(),
        "tokenizer.ggml.token_type": [kind(token) for token in tokens],
        **(merges if arch == "gemma4" else {}),
        **{
            f"tokenizer.ggml.{theirs}_token_id": tokenizer.token_to_id(config[f"{ours}_token"])
            for ours, theirs in {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}.items()
        },
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": (source / "chat_template.jinja").read_text(),
    }
