"""Schemas of a GGUF file's metadata, by llama.cpp's keys. Unknown metadata that could change the model are rejected
with an error that names them; metadata that describe the file, and those of `harmless.py`, are ignored."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gemtab.checkpoint.schema import Count, Layers, PositiveFloat

Id = Annotated[int, Field(ge=0)]


class Hyperparameters(BaseModel):
    """Metadata of both architectures, after `gemma3.` or `gemma4.`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context_length: Count
    embedding_length: Count
    block_count: Layers
    feed_forward_length: Count | list[Count]
    heads: Count = Field(alias="attention.head_count")
    kv_heads: Count | list[Count] = Field(alias="attention.head_count_kv")
    key_length: Count = Field(alias="attention.key_length")
    value_length: Count | None = Field(None, alias="attention.value_length")
    eps: PositiveFloat = Field(alias="attention.layer_norm_rms_epsilon")
    window: Count = Field(alias="attention.sliding_window")
    theta: PositiveFloat = Field(1e6, alias="rope.freq_base")
    local_theta: PositiveFloat = Field(1e4, alias="rope.freq_base_swa")
    rotated: Count | None = Field(None, alias="rope.dimension_count")
    final_logit_softcapping: PositiveFloat | None = None
    vocab_size: Count | None = None


class Gemma3Hyperparameters(Hyperparameters):
    """pattern: the period of full layers (llama.cpp's default is 6), or whether each layer is sliding."""

    feed_forward_length: Count
    kv_heads: Count = Field(alias="attention.head_count_kv")
    pattern: Count | list[bool] = Field(6, alias="attention.sliding_window_pattern")
    scaling: Literal["none", "linear"] = Field("none", alias="rope.scaling.type")
    scaling_factor: PositiveFloat = Field(1.0, alias="rope.scaling.factor")


class Gemma4Hyperparameters(Hyperparameters):
    """Keys without `_swa` are for the full layers."""

    pattern: list[bool] = Field(alias="attention.sliding_window_pattern")
    local_key_length: Count | None = Field(None, alias="attention.key_length_swa")
    local_value_length: Count | None = Field(None, alias="attention.value_length_swa")
    local_rotated: Count | None = Field(None, alias="rope.dimension_count_swa")
    shared_kv_layers: Annotated[int, Field(ge=0)] = Field(0, alias="attention.shared_kv_layers")
    embedding_length_per_layer_input: Annotated[int, Field(ge=0)] = 0
    expert_count: Count | None = None
    expert_used_count: Count | None = None
    expert_feed_forward_length: Count | None = None


def keys(schema: type[Hyperparameters]) -> frozenset[str]:
    """Return the keys that a schema reads."""
    return frozenset(field.alias or name for name, field in schema.model_fields.items())


class Vocabulary(BaseModel):
    """Metadata after `tokenizer.ggml.`. merges: `left right`, by priority."""

    model_config = ConfigDict(frozen=True)

    model: str
    tokens: list[str]
    token_type: list[int]
    merges: list[str] = []
    bos: Id | None = Field(None, alias="bos_token_id")
    eos: Id | None = Field(None, alias="eos_token_id")
    eot: Id | None = Field(None, alias="eot_token_id")
    eom: Id | None = Field(None, alias="eom_token_id")
    unknown: Id | None = Field(None, alias="unknown_token_id")
    padding: Id | None = Field(None, alias="padding_token_id")
    add_bos_token: bool = True

    def token(self, index: int | None) -> str | None:
        """Return the token of an id; None where there is none."""
        return self.tokens[index] if index is not None and index < len(self.tokens) else None


class General(BaseModel):
    """Metadata after `general.`. sampling: of the model's authors. The defaults are Gemma's."""

    model_config = ConfigDict(frozen=True)

    license: str | None = None
    temperature: Annotated[float, Field(ge=0)] = Field(1.0, alias="sampling.temp")
    top_k: Annotated[int, Field(ge=0)] = Field(64, alias="sampling.top_k")
    top_p: Annotated[float, Field(ge=0, le=1)] = Field(0.95, alias="sampling.top_p")
