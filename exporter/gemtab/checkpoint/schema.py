"""Schemas of config.json, with the defaults of transformers' own config classes.

A key that could change the arithmetic and is unknown here is rejected with an error that names it: without the feature,
the checkpoint would give plausible wrong answers.
"""

from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from gemtab.checkpoint.unread_keys import without_unread
from gemtab.errors import CheckpointError
from gemtab.patterns import check_expression

LayerType = Literal["sliding_attention", "full_attention"]
MOST: Final = (1 << 31) - 1

Count = Annotated[int, Field(gt=0, le=MOST)]
TokenId = Annotated[int, Field(ge=0, le=MOST)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# Limits of kernels: they read rows four numbers at a time, keep a head in workgroup memory (16 KiB), and choose experts
# with one invocation each.
Width = Annotated[int, Field(gt=0, le=MOST, multiple_of=4)]
HeadSize = Annotated[int, Field(gt=0, le=1024, multiple_of=4)]
Heads = Annotated[int, Field(gt=0, le=4096)]
Experts = Annotated[int, Field(gt=0, le=1024)]
ActiveExperts = Annotated[int, Field(gt=0, le=64)]

Layers = Annotated[int, Field(gt=0, le=1000)]
"""Layers are described one by one; published models have at most 60."""

Parsed = TypeVar("Parsed", bound=BaseModel)


class Said(BaseModel):
    """An object of a config. Unread keys are dropped where they cannot change the computation, and rejected otherwise:
    see `gemtab.checkpoint.unread_keys`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def kind(cls) -> str:
        """Return the model_type of the mirrored class in transformers; "" for an object inside a config."""
        field = cls.model_fields.get("model_type")
        return str(field.default) if field else ""

    @model_validator(mode="before")
    @classmethod
    def _drop_unread(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        read = {name for key, field in cls.model_fields.items() for name in (key, field.alias) if name}
        return without_unread(cls.renamed(data), cls.kind(), read)

    @classmethod
    def renamed(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the object with keys of older releases renamed to current keys."""
        return data


def parse(schema: type[Parsed], found: object, where: str, prefix: str = "") -> Parsed:
    """Parse `found` by the schema. Raises CheckpointError that names `where`, and keys after `prefix`."""
    try:
        return schema.model_validate(found)
    except ValidationError as error:
        raise CheckpointError(_explain(error, where, prefix)) from None


def _explain(error: ValidationError, where: str, prefix: str) -> str:
    found = error.errors(include_url=False)
    lines = [f"{prefix}{'.'.join(str(part) for part in item['loc'])}{_wrong(item)}" for item in found]
    unknown = any(item["type"] in ("extra_forbidden", "literal_error") for item in found)
    return f"{where}: {'; '.join(lines)}.{' gemtab rejects unknown features.' if unknown else ''}"


def _wrong(item: ErrorDetails) -> str:
    """Return what is wrong with a key, to follow its name in a message."""
    context = item.get("ctx", {})
    match item["type"]:
        case "missing":
            return " is missing"
        case "extra_forbidden":
            return f" = {item['input']!r} is not known and could change the model's results"
        case "multiple_of":
            unit = context["multiple_of"]
            return f" = {item['input']!r}: expected a multiple of {unit}: kernels read that many numbers at once"
        case "less_than_equal":
            return f" = {item['input']!r}: expected at most {context['le']:,}"
        case _:
            return f" = {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"


class ModuleQuantization(Said):
    """One entry of `module_quant_configs`."""

    num_bits: Literal[2, 4, 8] | None = None


class GemmaQuantization(Said):
    """`quantization_config` with `quant_method: "gemma"`, as in GemmaQuantizationConfig."""

    quant_method: Literal["gemma"]
    num_bits: Literal[2, 4, 8] = 4
    quantize_embeddings: bool = False
    module_quant_configs: dict[str, ModuleQuantization] | None = None
    modules_to_not_convert: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _patterns_are_regular_expressions(self) -> Self:
        for pattern in (*(self.module_quant_configs or ()), *(self.modules_to_not_convert or ())):
            check_expression(pattern)
        return self


class PackedWeights(BaseModel):
    """`weights` of a group of compressed-tensors. Other settings do not change the values of the integers."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    num_bits: Literal[4, 8]
    type: Literal["int"] = "int"
    symmetric: Literal[True] = True
    strategy: Literal["group", "channel"]
    dynamic: Literal[False] = False


class PackedGroup(BaseModel):
    """One of `config_groups`, without quantized activations."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    weights: PackedWeights
    input_activations: None = None
    output_activations: None = None


class CompressedQuantization(BaseModel):
    """`quantization_config` with `quant_method: "compressed-tensors"`, as far as it is read. The names of tensors say
    which matrices are packed."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    quant_method: Literal["compressed-tensors"]
    format: Literal["pack-quantized"]
    config_groups: dict[str, PackedGroup]
    kv_cache_scheme: None = None
    transform_config: dict[str, object] | None = None

    @model_validator(mode="after")
    def _no_transforms(self) -> Self:
        if (self.transform_config or {}).get("config_groups"):
            raise ValueError("transforms of weights and activations are not supported")
        return self


class Rope(Said):
    """Rotary embedding of one layer type. transformers 4 had the key `type` instead of `rope_type`."""

    @classmethod
    def renamed(cls, data: dict[str, Any]) -> dict[str, Any]:
        """See Said."""
        kind = data.get("type")
        if kind is None or data.get("rope_type", kind) != kind:
            return data  # nothing to rename, or a contradiction
        return {"rope_type": kind, **{key: value for key, value in data.items() if key != "type"}}


class RopeConfig(Rope):
    """Rotary embedding of Gemma 4's text stack."""

    rope_type: Literal["default", "proportional"] = "default"
    rope_theta: PositiveFloat
    partial_rotary_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    factor: Annotated[float, Field(ge=1, le=1)] = 1.0

    @model_validator(mode="after")
    def _whole_when_default(self) -> Self:
        if self.rope_type == "default" and self.partial_rotary_factor != 1.0:
            raise ValueError(
                f"rope_type 'default' rotates whole heads, found partial_rotary_factor {self.partial_rotary_factor}"
            )
        return self


class RopeByLayerType(Said):
    """`rope_parameters` with one entry a layer type."""

    sliding_attention: RopeConfig | None = None
    full_attention: RopeConfig | None = None


DEFAULT_ROPE = RopeByLayerType(
    sliding_attention=RopeConfig(rope_type="default", rope_theta=1e4),
    full_attention=RopeConfig(rope_type="proportional", rope_theta=1e6, partial_rotary_factor=0.25),
)


class LayerOverride(Said):
    """One entry of `per_layer_config`: sizes that differ on that layer."""

    head_dim: HeadSize | None = None
    num_key_value_heads: Heads | None = None


class TextConfig(Said):
    """`gemma4_text`, as in Gemma4TextConfig."""

    model_type: Literal["gemma4_text"] = "gemma4_text"
    vocab_size: Count = 262_144
    hidden_size: Width = 2304
    intermediate_size: Width = 9216
    num_hidden_layers: Layers = 30
    num_attention_heads: Heads = 8
    num_key_value_heads: Heads = 4
    head_dim: HeadSize = 256
    global_head_dim: HeadSize = 512
    num_global_key_value_heads: Heads | None = None
    per_layer_config: dict[int, LayerOverride] | None = None
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    max_position_embeddings: Count = 131_072
    rms_norm_eps: PositiveFloat = 1e-6
    pad_token_id: TokenId | None = 0
    tie_word_embeddings: bool = True
    rope_parameters: RopeByLayerType | None = None
    attention_bias: Literal[False] = False
    sliding_window: Count = 512
    layer_types: tuple[LayerType, ...] | None = None
    final_logit_softcapping: PositiveFloat | None = None
    use_bidirectional_attention: Literal["vision"] | None = None
    vocab_size_per_layer_input: Count = 262_144
    hidden_size_per_layer_input: Annotated[int, Field(ge=0, le=MOST, multiple_of=4)] = 256
    attention_k_eq_v: bool = False
    num_kv_shared_layers: Annotated[int, Field(ge=0)] = 0
    enable_moe_block: bool = False
    use_double_wide_mlp: bool = False
    num_experts: Experts | None = None
    top_k_experts: ActiveExperts | None = None
    moe_intermediate_size: Width | None = None
    quantization_config: object = None


class UnifiedTextConfig(TextConfig):
    """`gemma4_unified_text` (12B): other defaults, no per-layer embeddings, no experts."""

    model_type: Literal["gemma4_unified_text"] = "gemma4_unified_text"  # type: ignore[assignment]
    max_position_embeddings: Count = 262_144
    sliding_window: Count = 1024
    use_bidirectional_attention: Literal["vision"] | None = "vision"
    hidden_size_per_layer_input: Literal[0] = 0
    enable_moe_block: Literal[False] = False


class AssistantTextConfig(TextConfig):
    """`gemma4_text` of a draft model. transformers itself rejects the class defaults of the first two keys."""

    vocab_size_per_layer_input: Literal[0]
    hidden_size_per_layer_input: Literal[0]
    enable_moe_block: Literal[False] = False
    use_double_wide_mlp: Literal[False] = False


class UnifiedAssistantTextConfig(UnifiedTextConfig):
    """`gemma4_unified_text` of a draft model."""

    use_double_wide_mlp: Literal[False] = False


class NestedConfig(Said):
    """`gemma4`, as in Gemma4Config, which nests the configs of its parts. A null id means no placeholder."""

    model_type: Literal["gemma4"] = "gemma4"
    text_config: object = None
    vision_config: object = None
    audio_config: object = None
    quantization_config: object = None
    tie_word_embeddings: bool | None = True
    image_token_id: TokenId | None = 258_880
    audio_token_id: TokenId | None = 258_881
    video_token_id: TokenId | None = 258_884


class UnifiedNestedConfig(NestedConfig):
    """`gemma4_unified` (12B)."""

    model_type: Literal["gemma4_unified"] = "gemma4_unified"  # type: ignore[assignment]


class AssistantConfig(Said):
    """`gemma4_assistant`, as in Gemma4AssistantConfig."""

    model_type: Literal["gemma4_assistant"] = "gemma4_assistant"
    text_config: object = None
    quantization_config: object = None
    backbone_hidden_size: Width = 1536
    use_ordered_embeddings: bool = False
    num_centroids: Count = 2048
    centroid_intermediate_top_k: Count = 32
    tie_word_embeddings: bool = True


class UnifiedAssistantConfig(AssistantConfig):
    """`gemma4_unified_assistant` (12B)."""

    model_type: Literal["gemma4_unified_assistant"] = "gemma4_unified_assistant"  # type: ignore[assignment]
    backbone_hidden_size: Width = 3840


class AxialRope(Rope):
    """`rope_parameters` of the vision tower. Published configs call its only type `default`."""

    rope_type: Literal["default", "axial"] = "axial"
    rope_theta: PositiveFloat = 100.0


class _TowerConfig(Said):
    rms_norm_eps: PositiveFloat = 1e-6


class VisionConfig(_TowerConfig):
    """`gemma4_vision`, as in Gemma4VisionConfig. The processor's config sets the soft tokens of an image."""

    model_type: Literal["gemma4_vision"] = "gemma4_vision"
    hidden_size: Width = 768
    intermediate_size: Width = 3072
    num_hidden_layers: Layers = 16
    num_attention_heads: Heads = 12
    num_key_value_heads: Heads = 12
    # Keys and values of a head share workgroup memory with their scores.
    head_dim: Annotated[int, Field(gt=0, le=128, multiple_of=4)] = 64
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    max_position_embeddings: Count = 131_072
    attention_bias: Literal[False] | None = False
    rope_parameters: AxialRope | None = None
    pooling_kernel_size: Count = 3
    # Kernels read the three colours of a patch as one row, four numbers at a time.
    patch_size: Annotated[int, Field(gt=0, le=1024, multiple_of=2)] = 16
    position_embedding_size: Count = 10_240
    use_clipped_linears: bool = False
    standardize: bool = False


Channels = Annotated[int, Field(gt=0, le=384)]


class AudioConfig(_TowerConfig):
    """`gemma4_audio`, as in Gemma4AudioConfig."""

    model_type: Literal["gemma4_audio"] = "gemma4_audio"
    # Half of the tower's norms use transformers' default, so no other value can hold for all.
    rms_norm_eps: Annotated[float, Field(ge=1e-6, le=1e-6)] = 1e-6
    hidden_size: Width = 1024
    num_hidden_layers: Layers = 12
    num_attention_heads: Heads = 8
    hidden_act: Literal["silu"] = "silu"
    subsampling_conv_channels: tuple[Channels, Channels] = (128, 32)
    conv_kernel_size: Count = 5
    residual_weight: float = 0.5
    attention_chunk_size: Annotated[int, Field(gt=0, le=1024)] = 12
    attention_context_left: Annotated[int, Field(gt=1, le=1024)] = 13
    attention_context_right: Literal[0] = 0
    attention_logit_cap: PositiveFloat = 50.0
    attention_invalid_logits_value: Annotated[float, Field(le=-1e8)] = -1e9
    use_clipped_linears: bool = True
    gradient_clipping: PositiveFloat = 1e10
    output_proj_dims: Width = 1536

    @model_validator(mode="after")
    def _shapes_fit(self) -> Self:
        context = self.attention_chunk_size + self.attention_context_left - 1
        if context // 2 != self.attention_context_left - 1:
            raise ValueError(
                f"attention_chunk_size {self.attention_chunk_size} with attention_context_left "
                f"{self.attention_context_left} gives distances that do not count from the frame itself"
            )
        if self.hidden_size % self.num_attention_heads or self.hidden_size // self.num_attention_heads > 1024:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not divided by {self.num_attention_heads} heads into heads of "
                "at most 1,024"
            )
        bins, channels = self.subsampling_conv_channels
        if bins % 4 or bins // 4 * channels % 4:
            raise ValueError(
                f"subsampling_conv_channels {bins}, {channels}: expected a multiple of 4 for the first, the number of "
                "mel bins, and for a quarter of the first times the second"
            )
        return self


class UnifiedVisionConfig(_TowerConfig):
    """`gemma4_unified_vision`: patches without a tower."""

    model_type: Literal["gemma4_unified_vision"] = "gemma4_unified_vision"
    patch_size: Count = 16
    pooling_kernel_size: Count = 3
    model_patch_size: Count | None = None
    mm_embed_dim: Width = 3840
    mm_posemb_size: Count = 1120
    num_soft_tokens: Count | None = None
    output_proj_dims: Width = 3840

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        side = self.patch_size * self.pooling_kernel_size
        if side % 2:
            raise ValueError(
                f"patch_size {self.patch_size} * pooling_kernel_size {self.pooling_kernel_size}: expected an even "
                "side, so that the numbers of a patch are a multiple of 4, which kernels read at once"
            )
        if self.model_patch_size not in (None, side):
            raise ValueError(f"model_patch_size is {self.model_patch_size}, expected {side}")
        if self.output_proj_dims != self.mm_embed_dim:
            raise ValueError(f"output_proj_dims {self.output_proj_dims} differs from mm_embed_dim {self.mm_embed_dim}")
        return self


class UnifiedAudioConfig(_TowerConfig):
    """`gemma4_unified_audio`: raw samples without a tower."""

    model_type: Literal["gemma4_unified_audio"] = "gemma4_unified_audio"
    audio_embed_dim: Width = 640
    hidden_size: Count | None = None
    output_proj_dims: Count | None = None
    audio_samples_per_token: Count | None = None

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        for name in ("hidden_size", "output_proj_dims", "audio_samples_per_token"):
            if getattr(self, name) not in (None, self.audio_embed_dim):
                raise ValueError(f"{name} is {getattr(self, name)}, expected audio_embed_dim {self.audio_embed_dim}")
        return self
