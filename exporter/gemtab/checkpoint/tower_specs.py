"""Turn vision_config and audio_config into the specs of towers."""

from typing import Any

from gemtab.checkpoint.schema import (
    AudioConfig,
    AxialRope,
    UnifiedAudioConfig,
    UnifiedVisionConfig,
    VisionConfig,
    parse,
)
from gemtab.errors import CheckpointError
from gemtab.model.spec import AudioSpec, FrameSpec, PatchSpec, VisionSpec


def vision_spec(found: dict[str, Any], where: str) -> VisionSpec:
    """Return the vision tower that vision_config describes. where: names the config in errors."""
    config = parse(VisionConfig, found, where, "vision_config.")
    if config.num_attention_heads % config.num_key_value_heads:
        raise CheckpointError(
            f"{where}: vision_config has {config.num_attention_heads} heads and {config.num_key_value_heads} KV heads; "
            "expected a multiple."
        )
    return VisionSpec(
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_size=config.head_dim,
        eps=config.rms_norm_eps,
        theta=(config.rope_parameters or AxialRope()).rope_theta,
        patch=config.patch_size,
        pooling=config.pooling_kernel_size,
        positions=config.position_embedding_size,
        clipped=config.use_clipped_linears,
        standardised=config.standardize,
    )


def audio_spec(found: dict[str, Any], where: str) -> AudioSpec:
    """Return the audio tower that audio_config describes. where: names the config in errors."""
    config = parse(AudioConfig, found, where, "audio_config.")
    return AudioSpec(
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        # The first projection's number of columns follows from this number of bins.
        bins=config.subsampling_conv_channels[0],
        channels=config.subsampling_conv_channels,
        kernel=config.conv_kernel_size,
        window=config.attention_context_left - 1,
        distances=config.attention_context_left,
        logit_cap=config.attention_logit_cap,
        residual_weight=config.residual_weight,
        bound=config.gradient_clipping,
        eps=config.rms_norm_eps,
        output=config.output_proj_dims,
        clipped=config.use_clipped_linears,
    )


def patch_spec(found: dict[str, Any], where: str) -> PatchSpec:
    """Return how patches of images are embedded without a vision tower."""
    config = parse(UnifiedVisionConfig, found, where, "vision_config.")
    side = config.patch_size * config.pooling_kernel_size
    return PatchSpec(side, config.mm_embed_dim, config.mm_posemb_size, config.rms_norm_eps)


def frame_spec(found: dict[str, Any], where: str) -> FrameSpec:
    """Return how frames of audio are embedded without an audio tower."""
    config = parse(UnifiedAudioConfig, found, where, "audio_config.")
    return FrameSpec(config.audio_embed_dim, config.rms_norm_eps)
