"""What a Gemma 4 checkpoint is: the sizes and switches that the model files need, resolved layer by layer."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RopeSpec:
    """Rotary embedding of one kind of layer: see `GraphBuilder.rope`."""

    theta: float
    rotated_pairs: int


@dataclass(frozen=True)
class AttentionSpec:
    """One layer's attention.

    window: positions that a token sees, itself included; None on full layers.
    kv_layer: the layer whose keys and values are read; another one's on layers that share.
    v_is_k: V is K's projection, before their norms.
    """

    kind: Literal["sliding", "full"]
    heads: int
    kv_heads: int
    head_size: int
    window: int | None
    rope: RopeSpec
    kv_layer: int
    v_is_k: bool


@dataclass(frozen=True)
class MoeSpec:
    """The experts beside a layer's dense MLP."""

    experts: int
    active: int
    intermediate: int


@dataclass(frozen=True)
class LayerSpec:
    """One decoder layer. `intermediate` is the width of its own MLP (double where the config says so)."""

    index: int
    attention: AttentionSpec
    intermediate: int
    moe: MoeSpec | None

    @property
    def owns_kv(self) -> bool:
        """Whether the layer computes keys and values of its own."""
        return self.attention.kv_layer == self.index


@dataclass(frozen=True)
class TextSpec:
    """The text stack.

    per_layer_size: width of a layer's per-layer embedding, 0 where the model has none.
    logit_cap: soft cap of the logits, None for none.
    media_ids: ids of image, audio and video placeholders, which look up the pad token's row.
    tied: the head multiplies by the embedding table.
    """

    vocabulary: int
    hidden: int
    layers: tuple[LayerSpec, ...]
    eps: float
    per_layer_size: int
    per_layer_vocabulary: int
    logit_cap: float | None
    max_positions: int
    pad_id: int
    media_ids: tuple[int, ...]
    tied: bool


@dataclass(frozen=True)
class ModelSpec:
    """A whole checkpoint.

    model_type: as in config.json, e.g. `gemma4` or `gemma4_unified`.
    text_prefix: what stands before the text stack's tensor names in the checkpoint, e.g. `model.language_model.`;
    the head's is `lm_head.weight` in every form.
    """

    model_type: str
    text: TextSpec
    text_prefix: str
