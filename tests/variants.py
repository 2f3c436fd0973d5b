"""Small random checkpoints, one for each feature of Gemma 4 and a few with many at once, and of Gemma 3's text models.

`variant("moe", folder)` writes one as transformers saves it: config.json and safetensors in bf16. Every tensor is
drawn so that each part of the model matters to the logits: a missing norm or a wrong head shows.
"""

import json
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Gemma4Config,
    Gemma4ForCausalLM,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4UnifiedConfig,
    Gemma4UnifiedForConditionalGeneration,
    Gemma4UnifiedTextConfig,
    PreTrainedModel,
)

from tests.coded import ALL_8, save_coded
from tests.gridded import to_grid

TINY = Path(__file__).parent.parent / "models" / "tiny"

VOCABULARY = 384
IMAGE_ID, AUDIO_ID, VIDEO_ID = 380, 381, 382
SLIDING, FULL = "sliding_attention", "full_attention"

# Sizes of Gemma4TextConfig that all variants share unless they say otherwise. 96 is no multiple of 64.
BASE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size": 96,
    "intermediate_size": 160,
    "layer_types": [SLIDING, SLIDING, FULL],
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "global_head_dim": 32,
    "sliding_window": 24,
    "max_position_embeddings": 2048,
    "hidden_size_per_layer_input": 0,
}
PER_LAYER = {"hidden_size_per_layer_input": 32}
SHARED_KV = {"layer_types": [SLIDING, SLIDING, FULL, SLIDING, FULL, SLIDING, FULL], "num_kv_shared_layers": 3}
DOUBLE_WIDE = {**SHARED_KV, "use_double_wide_mlp": True}
V_IS_K = {"attention_k_eq_v": True, "global_head_dim": 64, "num_global_key_value_heads": 1}
MOE = {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 3, "moe_intermediate_size": 64}
WINDOW = {"sliding_window": 8}
SOFTCAP = {"final_logit_softcapping": 6.0}
E2B = {
    **PER_LAYER,
    **DOUBLE_WIDE,
    **WINDOW,
    "hidden_size": 160,
    "num_key_value_heads": 1,
    "global_head_dim": 64,
    "layer_types": [SLIDING, SLIDING, SLIDING, FULL] * 2,
    "num_kv_shared_layers": 4,
}
# The scale of scores keeps attention as sharp as Gemma 4's, which has none; the last layer slides, as in the 1B.
GEMMA3 = {
    **WINDOW,
    "layer_types": [SLIDING, SLIDING, FULL, SLIDING],
    "query_pre_attn_scalar": 2,
    "rope_parameters": {
        SLIDING: {"rope_type": "default", "rope_theta": 1e4},
        FULL: {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
    },
}
# Keys of BASE that Gemma 3 does not have.
GEMMA4_ONLY = ("vocab_size_per_layer_input", "hidden_size_per_layer_input", "global_head_dim")

# Small towers; their widths are those of no other part, so that a mix-up of shapes shows.
VISION = {
    "hidden_size": 64,
    "intermediate_size": 112,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "position_embedding_size": 128,
    "use_clipped_linears": True,
}
AUDIO = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "subsampling_conv_channels": [128, 8],
    "output_proj_dims": 48,
}


@dataclass(frozen=True)
class Recipe:
    """kind: the class of checkpoint; text: what differs from BASE; scalars: whether layer scalars differ from 1;
    vision, audio: the towers' configs, None for no tower; codes: saved with integer weights; grid: as trained for
    Q4_0."""

    text: dict[str, Any] = field(default_factory=dict)
    kind: str = "gemma4"
    scalars: bool = False
    vision: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    codes: bool = False
    grid: bool = False


VARIANTS: dict[str, Recipe] = {
    "base": Recipe(),
    "bare": Recipe({**PER_LAYER, **SHARED_KV, **WINDOW, **SOFTCAP, "global_head_dim": 64}, kind="gemma4_text"),
    "per_layer": Recipe(PER_LAYER),
    "shared_kv": Recipe(SHARED_KV),
    "double_wide": Recipe(DOUBLE_WIDE),
    "head_sizes": Recipe({"global_head_dim": 64}),
    "v_is_k": Recipe(V_IS_K),
    "moe": Recipe(MOE),
    "window": Recipe(WINDOW),
    "scalars": Recipe(scalars=True),
    "softcap_on": Recipe(SOFTCAP),
    "softcap_off": Recipe(E2B, scalars=True),
    "ragged": Recipe({"hidden_size": 80, "intermediate_size": 104}),
    "unified_12b": Recipe({**V_IS_K, **WINDOW, **SOFTCAP}, kind="gemma4_unified", scalars=True),
    "everything": Recipe({**E2B, **SOFTCAP}, scalars=True),
    "mixed": Recipe(
        {**V_IS_K, **MOE, **WINDOW, **SOFTCAP, "hidden_size": 128, "num_global_key_value_heads": 2}, scalars=True
    ),
    "gemma3": Recipe(GEMMA3, kind="gemma3_text"),
}
"""everything: as E2B. bare: as E4B. mixed: as 26B-A4B. softcap_off: everything but the softcap. ragged: columns that
fill no whole blocks of 32."""

CODED: dict[str, Recipe] = {
    "coded": Recipe({**E2B, **SOFTCAP}, scalars=True, codes=True),
    "coded_ragged": Recipe({"hidden_size": 80, "intermediate_size": 104}, codes=True),
    "coded_tower": Recipe(PER_LAYER, vision=VISION, codes=True),
}
"""Pre-quantized checkpoints: see tests/coded.py. coded: as E2B for mobile."""

GRIDDED: dict[str, Recipe] = {"gridded": Recipe(E2B, scalars=True, grid=True)}
"""Checkpoints that were trained for Q4_0 and saved in bf16: see tests/gridded.py. gridded: as E2B."""

TOWERS: dict[str, Recipe] = {
    "seeing": Recipe(vision=VISION),
    "hearing": Recipe(audio=AUDIO),
    # The widths, heads and head sizes of E2B and E4B.
    "e2b_towers": Recipe(
        {**PER_LAYER, **SHARED_KV},
        vision={**VISION, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
                "num_key_value_heads": 12, "head_dim": 64, "num_hidden_layers": 1},
        audio={**AUDIO, "hidden_size": 1024, "num_attention_heads": 8, "num_hidden_layers": 1,
               "subsampling_conv_channels": [128, 32], "output_proj_dims": 1536},
    ),
    # Those of 26B-A4B and 31B: columns that fill no whole blocks, heads of 72, no clipping, standardised; with the
    # former's text stack.
    "large_tower": Recipe(
        {**V_IS_K, **WINDOW, **MOE, **SOFTCAP, "use_bidirectional_attention": "vision"},
        vision={**VISION, "hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16,
                "num_key_value_heads": 16, "head_dim": 72, "num_hidden_layers": 1, "use_clipped_linears": False,
                "standardize": True},
    ),
    "blocks": Recipe({**WINDOW, "use_bidirectional_attention": "vision"}, vision={**VISION, "standardize": True}),
    "towerless": Recipe(
        {**V_IS_K, **WINDOW, **SOFTCAP},
        kind="gemma4_unified",
        vision={"mm_embed_dim": 96, "output_proj_dims": 96, "mm_posemb_size": 64},
        audio={"audio_embed_dim": 640},
    ),
}  # fmt: skip
"""Checkpoints that see and hear. blocks: the tokens of an image see each other, as in 26B-A4B and 31B."""


def variant(name: str, folder: Path, with_tokenizer: bool = False, seed: int = 0) -> Path:
    """Write the variant into `folder` (made if need be) and return it; the same bytes every time.

    with_tokenizer: the vocabulary, special ids, tokenizer, template and generation config are those of models/tiny.
    seed: for another model of the kind.
    """
    recipe = {**VARIANTS, **CODED, **GRIDDED, **TOWERS}[name]
    sizes = {**BASE, **recipe.text}
    media = {"image_token_id": IMAGE_ID, "audio_token_id": AUDIO_ID, "video_token_id": VIDEO_ID}
    if with_tokenizer:
        tiny = json.loads((TINY / "config.json").read_text())
        sizes["vocab_size"] = sizes["vocab_size_per_layer_input"] = tiny["text_config"]["vocab_size"]
        media = {key: tiny[key] for key in media}
    if recipe.kind == "gemma4_unified":
        del sizes["hidden_size_per_layer_input"], sizes["vocab_size_per_layer_input"]
    if recipe.kind == "gemma3_text":
        sizes = {key: value for key, value in sizes.items() if key not in GEMMA4_ONLY}
    sizes["num_hidden_layers"] = len(sizes["layer_types"])
    model = _build(recipe, sizes, media)
    randomise(model, zlib.crc32(name.encode()) + seed, recipe.scalars)
    if recipe.grid:
        to_grid(model)
    if recipe.codes:
        save_coded(model, folder)
    else:
        model.to(torch.bfloat16).save_pretrained(folder)
    if with_tokenizer:
        _copy_tokenizer(folder)
    return folder


def tiny_coded(folder: Path) -> Path:
    """models/tiny in codes of 8 bits, with a head of its own, as transformers needs it then."""
    model = Gemma4ForConditionalGeneration.from_pretrained(TINY, dtype=torch.float32, tie_word_embeddings=False)
    with torch.no_grad():
        model.lm_head.weight.copy_(model.model.language_model.embed_tokens.weight)
    folder.mkdir(parents=True, exist_ok=True)
    save_coded(model, folder, ALL_8)
    _copy_tokenizer(folder)
    return folder


def load_transformers(folder: Path) -> PreTrainedModel:
    """The checkpoint in transformers, in f32: the oracle of what a model computes."""
    classes = {
        "gemma4": Gemma4ForConditionalGeneration,
        "gemma4_unified": Gemma4UnifiedForConditionalGeneration,
        "gemma4_text": Gemma4ForCausalLM,
        "gemma3_text": Gemma3ForCausalLM,
    }
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    model: PreTrainedModel = classes[kind].from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def transformers_logits(model: PreTrainedModel, ids: Sequence[int]) -> torch.Tensor:
    """Logits [len(ids), vocabulary] of every token of one prompt."""
    # Asking for hidden states keeps transformers from a short cut that fails on shared KV without per-layer
    # embeddings (it slices an absent tensor).
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids]), output_hidden_states=True).logits[0]
    return logits


def _build(recipe: Recipe, sizes: dict[str, Any], media: dict[str, int]) -> PreTrainedModel:
    towers = {"vision_config": recipe.vision, "audio_config": recipe.audio}
    if recipe.kind == "gemma4_text":
        return Gemma4ForCausalLM(Gemma4TextConfig(**sizes))
    if recipe.kind == "gemma3_text":
        return Gemma3ForCausalLM(Gemma3TextConfig(**sizes))
    if recipe.kind == "gemma4_unified":
        unified = Gemma4UnifiedTextConfig(**sizes)
        return Gemma4UnifiedForConditionalGeneration(Gemma4UnifiedConfig(text_config=unified, **towers, **media))
    text = Gemma4TextConfig(**sizes)
    # transformers has no tied head where the embeddings are codes.
    config = Gemma4Config(text_config=text, tie_word_embeddings=not recipe.codes, **towers, **media)
    return Gemma4ForConditionalGeneration(config)


@torch.no_grad()
def randomise(model: PreTrainedModel, seed: int, scalars: bool) -> None:
    """Draw every weight anew.

    Matrices keep the size of what they multiply; attention is neither flat nor needle-sharp (norms of Q and K about
    0.6); the final norm spreads the logits; the router's scores differ enough to choose.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(shape: torch.Size, deviation: float, mean: float = 0.0) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * deviation + mean

    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        if name.endswith("layer_scalar"):
            drawn = torch.rand(1, generator=generator) * 0.5 + 0.7
            tensor.copy_(drawn if scalars else torch.ones(1))
        elif name.endswith("per_expert_scale"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.75)
        elif name.endswith(("q_norm.weight", "k_norm.weight")):
            tensor.copy_(normal(tensor.shape, 0.1, 0.6))
        elif name.endswith(("input_min", "output_min")):
            tensor.copy_(-1.0 - torch.rand((), generator=generator))
        elif name.endswith(("input_max", "output_max")):
            tensor.copy_(1.0 + torch.rand((), generator=generator))
        elif name.endswith("std_scale"):
            tensor.copy_(normal(tensor.shape, 0.02, 0.1))
        elif name.endswith(("per_dim_scale", "bias", "std_bias")):
            tensor.copy_(normal(tensor.shape, 0.5))
        elif name.endswith("language_model.norm.weight") or name == "model.norm.weight":
            tensor.copy_(normal(tensor.shape, 0.5, 3.0))
        elif tensor.dim() == 1:
            tensor.copy_(normal(tensor.shape, 0.2, 1.0))
        elif name.endswith("router.proj.weight"):
            tensor.copy_(normal(tensor.shape, 1.5))
        elif "conv" in name and tensor.dim() > 2:
            tensor.copy_(normal(tensor.shape, tensor[0].numel() ** -0.5))
        else:
            tensor.copy_(normal(tensor.shape, tensor.shape[-1] ** -0.5))
        if name.endswith("norm.weight") and model.config.model_type == "gemma3_text":
            tensor.sub_(1)  # it multiplies by 1 + weight


def _copy_tokenizer(folder: Path) -> None:
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
        "processor_config.json",
    ):
        shutil.copyfile(TINY / name, folder / name)
