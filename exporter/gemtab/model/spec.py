"""What a Gemma model is: the sizes and switches that the model files need, resolved layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Bits = Literal[2, 4, 8]
"""Of a code that stands for a weight."""

LayerKind = Literal["sliding", "full"]
"""What a layer's attention looks back over: a window, or everything."""


class Codes(Protocol):
    """Which weights the checkpoint has as codes that it was trained with."""

    def bits(self, source: str, table: bool) -> Bits | None:
        """The bits of the weight called `source`, a table or a matrix; None where it is plain."""
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
    kv_layer: the layer whose keys and values are read; another one's on layers that share. In an assistant the kind of
    layer: its target's last one of that kind.
    v_is_k: V is K's projection, before their norms.
    v_normed: V goes through a norm without weight; scale: what scores are multiplied by. Gemma 3 norms Q and K alone.
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
    codes: which weights are codes, the towers' too; None for none.
    layer_scalars: each layer's output is multiplied by a number of its own.
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
        """What a GraphBuilder asks for the bits of a source; None where nothing is codes."""
        return None if self.codes is None else self.codes.bits


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
class CentroidSpec:
    """A head that scores only some tokens: each of `count` centroids stands for an equal part of the vocabulary, and
    the tokens of the `active` best are scored."""

    count: int
    active: int


@dataclass(frozen=True)
class AssistantSpec:
    """What an assistant, which drafts tokens for a target model, has around its text stack.

    target_hidden: width of the target's embeddings and hidden states; centroids: None where every token is scored.
    """

    target_hidden: int
    centroids: CentroidSpec | None


@dataclass(frozen=True)
class ModelSpec:
    """A whole model.

    model_type: as in config.json, e.g. `gemma4` or `gemma4_unified`.
    vision, audio: how pictures and sound come in; None where they do not.
    assistant: None on models that answer by themselves.
    """

    model_type: str
    text: TextSpec
    vision: VisionSpec | PatchSpec | None = None
    audio: AudioSpec | FrameSpec | None = None
    assistant: AssistantSpec | None = None
