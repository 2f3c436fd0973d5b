"""What config.json may say, with the defaults that transformers' own config classes have.

A key that could change the arithmetic and is not known here is refused by its name: running such a checkpoint
without the feature would give answers that look right and are not.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LayerType = Literal["sliding_attention", "full_attention"]
Count = Annotated[int, Field(gt=0)]


PositiveFloat = Annotated[float, Field(gt=0)]

# Keys of a text config that have no part in computing logits: bookkeeping, training, and the generation settings
# that older configs carry.
# fmt: off
IGNORED_KEYS = frozenset({
    "_attn_implementation", "_commit_hash", "_experts_implementation", "_name_or_path", "architectures",
    "attention_dropout", "attn_implementation", "auto_map", "bad_words_ids", "begin_suppress_tokens",
    "bos_token_id", "chunk_size_feed_forward", "cross_attention_hidden_size", "decoder_start_token_id",
    "diversity_penalty", "do_sample", "dtype", "early_stopping", "encoder_no_repeat_ngram_size", "eos_token_id",
    "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "id2label",
    "initializer_range", "label2id", "length_penalty", "max_length", "min_length", "name_or_path",
    "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_attentions",
    "output_hidden_states", "output_router_logits", "output_scores", "prefix", "problem_type",
    "remove_invalid_values", "repetition_penalty", "return_dict", "return_dict_in_generate", "sep_token_id",
    "suppress_tokens", "task_specific_params", "temperature", "tie_last_hidden_states", "tokenizer_class", "top_k",
    "top_p", "torch_dtype", "torchscript", "transformers_version", "typical_p", "use_cache",
})
# fmt: on


class RopeConfig(BaseModel):
    """Rotary embedding of one layer type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rope_type: Literal["default", "proportional"]
    rope_theta: PositiveFloat
    partial_rotary_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    factor: Annotated[float, Field(ge=1, le=1)] = 1.0

    @model_validator(mode="after")
    def _whole_when_default(self) -> Self:
        if self.rope_type == "default" and self.partial_rotary_factor != 1.0:
            raise ValueError(
                f"rope_type 'default' turns whole heads, found partial_rotary_factor {self.partial_rotary_factor}"
            )
        return self


class RopeByLayerType(BaseModel):
    """`rope_parameters`: one entry a layer type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sliding_attention: RopeConfig | None = None
    full_attention: RopeConfig | None = None


DEFAULT_ROPE = RopeByLayerType(
    sliding_attention=RopeConfig(rope_type="default", rope_theta=1e4),
    full_attention=RopeConfig(rope_type="proportional", rope_theta=1e6, partial_rotary_factor=0.25),
)


class LayerOverride(BaseModel):
    """One entry of `per_layer_config`: what differs on that layer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    head_dim: Count | None = None
    num_key_value_heads: Count | None = None


class TextConfig(BaseModel):
    """`gemma4_text`, as in Gemma4TextConfig."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model_type: Literal["gemma4_text"] = "gemma4_text"
    vocab_size: Count = 262_144
    hidden_size: Count = 2304
    intermediate_size: Count = 9216
    num_hidden_layers: Count = 30
    num_attention_heads: Count = 8
    num_key_value_heads: Count = 4
    head_dim: Count = 256
    global_head_dim: Count = 512
    num_global_key_value_heads: Count | None = None
    per_layer_config: dict[int, LayerOverride] | None = None
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    max_position_embeddings: Count = 131_072
    rms_norm_eps: PositiveFloat = 1e-6
    pad_token_id: Annotated[int, Field(ge=0)] | None = 0
    tie_word_embeddings: bool = True
    rope_parameters: RopeByLayerType | None = None
    attention_bias: Literal[False] = False
    sliding_window: Count = 512
    layer_types: tuple[LayerType, ...] | None = None
    final_logit_softcapping: PositiveFloat | None = None
    use_bidirectional_attention: Literal["vision"] | None = None
    vocab_size_per_layer_input: Count = 262_144
    hidden_size_per_layer_input: Annotated[int, Field(ge=0)] = 256
    attention_k_eq_v: bool = False
    num_kv_shared_layers: Annotated[int, Field(ge=0)] = 0
    enable_moe_block: bool = False
    use_double_wide_mlp: bool = False
    num_experts: Count | None = None
    top_k_experts: Count | None = None
    moe_intermediate_size: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_ignored(cls, data: dict[str, object]) -> dict[str, object]:
        return {key: value for key, value in data.items() if key not in IGNORED_KEYS}


class UnifiedTextConfig(TextConfig):
    """`gemma4_unified_text` (12B): other defaults, and neither per-layer embeddings nor experts."""

    model_type: Literal["gemma4_unified_text"] = "gemma4_unified_text"  # type: ignore[assignment]
    max_position_embeddings: Count = 262_144
    sliding_window: Count = 1024
    use_bidirectional_attention: Literal["vision"] | None = "vision"
    hidden_size_per_layer_input: Literal[0] = 0
    enable_moe_block: Literal[False] = False
