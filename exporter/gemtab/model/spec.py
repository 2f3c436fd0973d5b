"""The sizes and switches of a Gemma model, resolved layer by layer, as the model files need them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Bits = Literal[2, 4, 8]
"""Bits of an integer weight."""

LayerKind = Literal["sliding", "full"]
"""Whether a layer's attention sees a sliding window, or all positions."""


class Codes(Protocol):
    """The integer weights of a pre-quantized checkpoint."""

    def bits(self, source: str, table: bool) -> Bits | None:
        """Return the bits of the table or matrix called `source`; None for floats."""
        ...


@dataclass(frozen=True)
class RopeSpec:
    """Rotary embedding of one kind of layer: see `GraphBuilder.rope`."""

    theta: float
    rotated_pairs: int
    factor: float = 1.0


@dataclass(frozen=True)
class AttentionSpec:
    """One layer's attention.

    window: positions that a token sees, itself included; None on full layers.
    kv_layer: the layer whose cache is read; another layer on layers that share a cache. In a draft model, the kind of
    layer: the cache of the target's last layer of this kind is read.
    v_is_k: V is the projection of K, before their norms.
    v_normed: V goes through a norm without a weight; in Gemma 3 only Q and K have norms.
    scale: factor of the scores.
    """

    kind: LayerKind
    heads: int
    kv_heads: int
    head_size: int
    window: int | None
    rope: RopeSpec
    kv_layer: int | LayerKind
    v_is_k: bool
    v_normed: bool = True
    scale: float = 1.0


@dataclass(frozen=True)
class MoeSpec:
    """The experts beside a layer's dense MLP."""

    experts: int
    active: int
    intermediate: int


@dataclass(frozen=True)
class LayerSpec:
    """One decoder layer. intermediate: width of the layer's dense MLP, which differs between layers in some models."""

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

    per_layer_size: width of a layer's per-layer embedding; 0 if the model has none.
    logit_cap: soft cap of the logits; None for no cap.
    media_ids: ids of image, audio and video placeholders, which look up the pad token's row.
    tied: the head multiplies by the embedding table.
    image_blocks: on sliding layers, the tokens of one image or video frame see each other.
    codes: the integer weights, those of the towers too; None if all weights are floats.
    layer_scalars: the output of each layer is multiplied by a scalar of the checkpoint.
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
    codes: Codes | None = None
    layer_scalars: bool = True

    @property
    def bits(self) -> Callable[[str, bool], int | None] | None:
        """The function that a GraphBuilder calls for the bits of a source; None if all weights are floats."""
        return None if self.codes is None else self.codes.bits


@dataclass(frozen=True)
class VisionSpec:
    """The vision tower.

    patch: side of a patch in pixels. pooling: side in patches of the cell that becomes one soft token. positions: rows
    of the position table per axis. clipped: linears clip their inputs and outputs. standardised: soft tokens are
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
    """Images without a tower: each patch of side * side pixels is projected to one soft token [hidden]."""

    side: int
    hidden: int
    positions: int
    eps: float


@dataclass(frozen=True)
class AudioSpec:
    """The audio tower.

    bins: of the log-mel spectrogram. channels: of the two convolutions. window: frames that a frame sees, itself
    included.
    distances: how many have an encoding. bound: clamp of the norms' inputs, against overflow. output: width before the
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
    """Audio without a tower: each frame of `samples` samples is projected to one soft token."""

    samples: int
    eps: float


@dataclass(frozen=True)
class CentroidSpec:
    """A head that scores only some tokens.

    The vocabulary is divided among `count` centroids equally. The tokens of the `active` best centroids are scored.
    """

    count: int
    active: int


@dataclass(frozen=True)
class AssistantSpec:
    """The parts of a draft model around its text stack.

    target_hidden: width of the target's embeddings and hidden states. centroids: None if every token is scored.
    """

    target_hidden: int
    centroids: CentroidSpec | None


@dataclass(frozen=True)
class ModelSpec:
    """A whole model.

    model_type: as in config.json, e.g. `gemma4` or `gemma4_unified`.
    vision, audio: None if the model takes no images or no audio.
    assistant: None unless the model is a draft model.
    """

    model_type: str
    text: TextSpec
    vision: VisionSpec | PatchSpec | None = None
    audio: AudioSpec | FrameSpec | None = None
    assistant: AssistantSpec | None = None
