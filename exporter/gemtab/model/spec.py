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
    image_blocks: on sliding layers the tokens of one picture, or of one frame of a clip, see each other.
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
    image_blocks: bool = False


@dataclass(frozen=True)
class VisionSpec:
    """The vision tower.

    patch: side of a patch in pixels; pooling: side in patches of the cell that becomes one soft token; positions:
    rows of the position table an axis; clipped: linears clip their inputs and outputs; standardised: soft tokens are
    brought to mean 0 and scale 1 before the projection.
    """

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    eps: float
    theta: float
    patch: int
    pooling: int
    positions: int
    clipped: bool
    standardised: bool


@dataclass(frozen=True)
class PatchSpec:
    """Pictures without a tower: each patch of side * side pixels is projected to one soft token of `hidden`."""

    side: int
    hidden: int
    positions: int
    eps: float


@dataclass(frozen=True)
class AudioSpec:
    """The audio tower.

    bins: of the log-mel spectrogram; channels: of the two convolutions; window: frames that a frame sees, itself
    included; distances: that have an encoding; bound: of the guards against overflow; output: width before the
    projection.
    """

    hidden: int
    layers: int
    heads: int
    bins: int
    channels: tuple[int, int]
    kernel: int
    window: int
    distances: int
    logit_cap: float
    residual_weight: float
    bound: float
    eps: float
    output: int
    clipped: bool


@dataclass(frozen=True)
class FrameSpec:
    """Sound without a tower: each frame of so many samples is projected to one soft token."""

    samples: int
    eps: float


@dataclass(frozen=True)
class ModelSpec:
    """A whole checkpoint.

    model_type: as in config.json, e.g. `gemma4` or `gemma4_unified`.
    text_prefix: what stands before the text stack's tensor names in the checkpoint, e.g. `model.language_model.`.
    vision, audio: how pictures and sound come in; None where they do not.
    """

    model_type: str
    text: TextSpec
    text_prefix: str
    vision: VisionSpec | PatchSpec | None = None
    audio: AudioSpec | FrameSpec | None = None

    def tensor_name(self, source: str) -> str:
        """The name in the checkpoint of a weight's source: the head stands outside the text stack in every form, the
        towers beside it."""
        if source.startswith("lm_head."):
            return source
        if source.startswith(("vision_tower.", "vision_embedder.", "audio_tower.", "embed_vision.", "embed_audio.")):
            return self.text_prefix.removesuffix("language_model.") + source
        return self.text_prefix + source
