"""Read the config.json of Gemma 3's text models, in old and new forms, into a `CheckpointSpec`.

Differences from Gemma 4: norms multiply by 1 + weight, V is not normed, scores are scaled, layers have no scalar, and
there are no per-layer embeddings, shared caches or experts.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from gemtab.checkpoint.schema import (
    Count,
    Heads,
    HeadSize,
    Layers,
    LayerType,
    PositiveFloat,
    Rope,
    Said,
    TokenId,
    Width,
    parse,
)
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.errors import CheckpointError
from gemtab.model.spec import AttentionSpec, LayerSpec, RopeSpec, TextSpec

MODEL_TYPE: Final = "gemma3_text"


class LinearRope(Rope):
    """Rotary embedding of one layer type. "linear" divides positions by `factor`. Older configs have no theta."""

    rope_type: Literal["default", "linear"] = "default"
    rope_theta: PositiveFloat | None = None
    factor: Annotated[float, Field(ge=1)] = 1.0


class RopeByLayerType(Said):
    """`rope_parameters` with one entry a layer type, as transformers 5 saves them."""

    sliding_attention: LinearRope | None = None
    full_attention: LinearRope | None = None


class Gemma3TextConfig(Said):
    """`gemma3_text`, as in Gemma3TextConfig. Published configs have rope_theta, rope_local_base_freq, rope_scaling and
    sliding_window_pattern; newer ones have rope_parameters and layer_types."""

    model_type: Literal["gemma3_text"] = MODEL_TYPE
    vocab_size: Count = 262_208
    hidden_size: Width = 2304
    intermediate_size: Width = 9216
    num_hidden_layers: Layers = 26
    num_attention_heads: Heads = 8
    num_key_value_heads: Heads = 4
    head_dim: HeadSize = 256
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    max_position_embeddings: Count = 131_072
    rms_norm_eps: PositiveFloat = 1e-6
    pad_token_id: TokenId | None = 0
    tie_word_embeddings: bool = True
    attention_bias: Literal[False] = False
    query_pre_attn_scalar: PositiveFloat = 256
    sliding_window: Count = 4096
    layer_types: tuple[LayerType, ...] | None = None
    sliding_window_pattern: Count = Field(6, alias="_sliding_window_pattern")
    final_logit_softcapping: PositiveFloat | None = None
    attn_logit_softcapping: None = None
    use_bidirectional_attention: Literal[False] | None = False
    rope_parameters: RopeByLayerType | None = None
    rope_theta: PositiveFloat = 1e6
    rope_local_base_freq: PositiveFloat = 1e4
    rope_scaling: LinearRope | None = None
    quantization_config: object = None

    @classmethod
    def renamed(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Accept both names of the pattern that transformers writes, with and without the underscore."""
        renamed = {"sliding_window_pattern": "_sliding_window_pattern"}
        return {renamed.get(key, key): value for key, value in data.items()}


def spec(config: dict[str, Any], where: str, prefix: str) -> CheckpointSpec:
    """Return the spec of a parsed config.json. where: names the config in errors. prefix: text before the tensors'
    names. Raises CheckpointError for anything that gemtab does not know."""
    parsed = parse(Gemma3TextConfig, config, where)
    if parsed.num_attention_heads % parsed.num_key_value_heads:
        raise CheckpointError(
            f"{where}: {parsed.num_attention_heads} heads and {parsed.num_key_value_heads} KV heads; "
            "expected a multiple."
        )
    text = TextSpec(
        vocabulary=parsed.vocab_size,
        hidden=parsed.hidden_size,
        layers=tuple(
            LayerSpec(index, _attention(parsed, index, kind), parsed.intermediate_size, None)
            for index, kind in enumerate(_layer_types(parsed, where))
        ),
        eps=parsed.rms_norm_eps,
        per_layer_size=0,
        per_layer_vocabulary=parsed.vocab_size,
        logit_cap=parsed.final_logit_softcapping,
        max_positions=parsed.max_position_embeddings,
        pad_id=parsed.pad_token_id or 0,
        media_ids=(),
        tied=parsed.tie_word_embeddings,
        layer_scalars=False,
    )
    return CheckpointSpec(MODEL_TYPE, text, text_prefix=prefix, norm_offset=1.0)


def _layer_types(config: Gemma3TextConfig, where: str) -> tuple[LayerType, ...]:
    count = config.num_hidden_layers
    if config.layer_types is None:
        pattern = config.sliding_window_pattern
        return tuple("sliding_attention" if (index + 1) % pattern else "full_attention" for index in range(count))
    if len(config.layer_types) != count:
        raise CheckpointError(f"{where}: layer_types has {len(config.layer_types)} entries, expected {count}.")
    return config.layer_types


def _attention(config: Gemma3TextConfig, index: int, kind: LayerType) -> AttentionSpec:
    full = kind == "full_attention"
    return AttentionSpec(
        kind="full" if full else "sliding",
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_size=config.head_dim,
        window=None if full else config.sliding_window,
        rope=_rope(config, kind),
        kv_layer=index,
        v_is_k=False,
        v_normed=False,
        scale=config.query_pre_attn_scalar**-0.5,
    )


def _rope(config: Gemma3TextConfig, kind: LayerType) -> RopeSpec:
    full = kind == "full_attention"
    default = config.rope_theta if full else config.rope_local_base_freq
    found: LinearRope | None = getattr(config.rope_parameters, kind) if config.rope_parameters else None
    rope = found or LinearRope()
    if full and config.rope_scaling:  # as in transformers, rope_scaling takes precedence
        rope = rope.model_copy(update=config.rope_scaling.model_dump(exclude_unset=True))
    factor = rope.factor if rope.rope_type == "linear" else 1.0
    return RopeSpec(rope.rope_theta or default, config.head_dim // 2, factor)
