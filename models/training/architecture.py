"""The tiny model's shape: every feature of Gemma 4 E2B, seven million parameters, and how its weights start."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    Gemma4AudioConfig,
    Gemma4AudioFeatureExtractor,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4VisionConfig,
    GemmaTokenizer,
    GenerationConfig,
)

LAYER_TYPES = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"] * 2
SOFT_TOKENS = 70
"""Image budget: the smallest that Gemma 4 has."""
POSITIONS = 10240
"""Rows of the vision position tables, as E2B has: the longest side that any budget allows fits."""


def _text_config(vocabulary: int) -> Gemma4TextConfig:
    return Gemma4TextConfig(
        vocab_size=vocabulary,
        vocab_size_per_layer_input=vocabulary,
        hidden_size=160,
        intermediate_size=384,
        num_hidden_layers=len(LAYER_TYPES),
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=32,
        per_layer_config={
            index: {"head_dim": 64} for index, kind in enumerate(LAYER_TYPES) if kind == "full_attention"
        },
        layer_types=LAYER_TYPES,
        sliding_window=64,
        num_kv_shared_layers=4,
        use_double_wide_mlp=True,
        hidden_size_per_layer_input=32,
        max_position_embeddings=8192,
        final_logit_softcapping=30.0,
        attention_k_eq_v=False,
        enable_moe_block=False,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=1,
        rope_parameters={
            "full_attention": {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    )


def _vision_config() -> Gemma4VisionConfig:
    return Gemma4VisionConfig(
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=32,
        patch_size=16,
        pooling_kernel_size=3,
        position_embedding_size=POSITIONS,
        use_clipped_linears=True,
        standardize=False,
    )


def _audio_config() -> Gemma4AudioConfig:
    return Gemma4AudioConfig(
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        output_proj_dims=160,
        subsampling_conv_channels=[128, 16],  # the first must equal the number of mel bins
        use_clipped_linears=True,
    )


def config(tokenizer: GemmaTokenizer) -> Gemma4Config:
    """The whole configuration; the ids of the media tokens come from `tokenizer`."""
    token = tokenizer.convert_tokens_to_ids
    return Gemma4Config(
        text_config=_text_config(len(tokenizer)),
        vision_config=_vision_config(),
        audio_config=_audio_config(),
        boi_token_id=token("<|image>"),
        image_token_id=token("<|image|>"),
        eoi_token_id=token("<image|>"),
        boa_token_id=token("<|audio>"),
        audio_token_id=token("<|audio|>"),
        eoa_token_index=token("<audio|>"),
        video_token_id=token("<|video|>"),
        tie_word_embeddings=True,
        dtype="bfloat16",
    )


@torch.no_grad()
def initialise(model: Gemma4ForConditionalGeneration, seed: int) -> None:
    """Starting weights, in place.

    transformers starts the position tables at one (no position at all) and every norm at one. Attention has scale 1, so
    a q_norm of 1 gives needle-sharp attention that never recovers: heads start at 0.6.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("position_embedding_table"):
            parameter.normal_(0, 0.3, generator=generator)
        elif "embed_tokens_per_layer" in name:
            parameter.normal_(0, 1 / math.sqrt(32), generator=generator)
        elif "embed_tokens" in name or "lm_head" in name:
            parameter.normal_(0, 1 / math.sqrt(parameter.shape[1]), generator=generator)
        elif parameter.dim() > 1:
            parameter.normal_(0, 1 / math.sqrt(parameter[0].numel()), generator=generator)
        elif name.endswith("q_norm.weight"):
            parameter.fill_(0.6)
    layers = model.model.language_model.layers
    for index, layer in enumerate(layers):
        layer.layer_scalar.fill_(1.0 - 0.3 * index / (len(layers) - 1))
    model.tie_weights()


def build(tokenizer: GemmaTokenizer, seed: int) -> Gemma4ForConditionalGeneration:
    """The model in f32 with its starting weights."""
    model = Gemma4ForConditionalGeneration(config(tokenizer))
    model = model.float()
    initialise(model, seed)
    return model


def _image_settings(normalise: bool, **more: Any) -> dict[str, Any]:
    return {
        "do_convert_rgb": True,
        "do_normalize": normalise,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.0] * 3,
        "image_std": [1.0] * 3,
        "max_soft_tokens": SOFT_TOKENS,
        "patch_size": 16,
        "pooling_kernel_size": 3,
        "resample": 3,
        "rescale_factor": 1 / 255,
        **more,
    }


def processor_config() -> dict[str, Any]:
    """The contents of processor_config.json, as `Gemma4Processor.save_pretrained` writes them.

    Written by hand because a whole Gemma4Processor needs torchvision, which training does not.
    """
    return {
        "audio_ms_per_token": 40,
        "audio_seq_length": 750,
        "feature_extractor": json.loads(Gemma4AudioFeatureExtractor().to_json_string()),
        "image_processor": _image_settings(False, image_processor_type="Gemma4ImageProcessor"),
        "image_seq_length": SOFT_TOKENS,
        "processor_class": "Gemma4Processor",
        "video_processor": _image_settings(
            True,
            do_sample_frames=True,
            num_frames=32,
            return_metadata=False,
            video_processor_type="Gemma4VideoProcessor",
        ),
    }


def generation_config(tokenizer: GemmaTokenizer) -> GenerationConfig:
    """Gemma 4's published sampling defaults and its end tokens."""
    ends = tokenizer.convert_tokens_to_ids(["<eos>", "<turn|>", "<|tool_response>"])
    return GenerationConfig(
        bos_token_id=2, pad_token_id=0, eos_token_id=ends, do_sample=True, temperature=1.0, top_k=64, top_p=0.95
    )


def save(model: Gemma4ForConditionalGeneration, tokenizer: GemmaTokenizer, folder: Path) -> None:
    """Writes the checkpoint in bf16, beside the chat template that `folder` already has."""
    rounded = copy.deepcopy(model).to(torch.bfloat16)
    rounded.generation_config = generation_config(tokenizer)
    rounded.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    text = json.dumps(processor_config(), indent=2, sort_keys=True)
    (folder / "processor_config.json").write_text(text + "\n", encoding="utf-8")


def parameter_count(module: nn.Module) -> int:
    """How many parameters `module` has."""
    return sum(parameter.numel() for parameter in module.parameters())
