"""The schema of `gemtab.json`, the manifest of a bundle.

An export writes the manifest last: a folder with a manifest is a complete bundle.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from gemtab.bundle.plan import Activation, Expr, Feature, Positive, Strict

MANIFEST_FORMAT: Final = 1
MANIFEST_NAME: Final = "gemtab.json"
"""The manifest's name in a bundle."""

MAX_WORDS: Final = 1000
"""Most notes, and most names of adapters."""

WeightFormat = Literal["f32", "f16", "q8", "q4", "qat"]
"""How a bundle stores weights. qat: the integer weights of a pre-quantized (QAT) checkpoint, unchanged."""
Input = Literal["text", "image", "audio", "video"]
Tower = Literal["image", "audio"]
"""The kinds of towers."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")]
"""The path of a file in the bundle. No part of the path begins with a dot, so no path leaves the folder."""


class FileEntry(Strict):
    """Size and digests of a file of the bundle."""

    bytes: Annotated[int, Field(ge=0)]
    """Size in bytes."""
    slice_bytes: Annotated[int, Field(gt=0)]
    """Bytes of a slice; the last slice may be shorter."""
    sha256: Annotated[tuple[Sha256, ...], Field(fail_fast=True)]
    """The SHA-256 of each slice, in hexadecimal, so that a reader can verify a slice before using it. An empty file has
    one digest."""


class PlanMemory(Strict):
    """GPU bytes that an executor allocates for a plan. Expressions use C, the context chosen at load, and T, the tokens
    of a step.

    The snapshots and the rows of images and audio that a conversation keeps are not included.
    """

    weights: Annotated[int, Field(ge=0)]
    """Weights and angle tables, without per-layer embeddings."""
    embeddings: Annotated[int, Field(ge=0)]
    """Per-layer embeddings, if they are on the GPU. 0 for a model without them, and if they cannot stay on the host."""
    rows: Annotated[int, Field(ge=0)]
    """The RowsBuffers, if per-layer embeddings are on the host. 0 as for `embeddings`."""
    state: Expr
    """Caches, once all of them are in use."""
    scratch: Expr
    """Slots, control buffers, params and the rows that a tower makes, during a step."""


class PlanEntry(Strict):
    """A plan of the bundle, and the needs of the plan that are known before it is loaded."""

    file: RelativePath
    """The plan's path in the bundle."""
    activation: Activation
    """The dtype of the caches."""
    features: Annotated[tuple[Feature, ...], Field(fail_fast=True)] = ()
    """WebGPU features that the device must have."""
    tokens: Annotated[int, Field(gt=0)]
    """Most tokens of a step."""
    memory: PlanMemory
    """GPU bytes that the plan takes."""


PlanEntries = Annotated[tuple[PlanEntry, ...], Field(max_length=16, fail_fast=True)]


class Source(Strict):
    """The exported checkpoint."""

    name: str
    """The checkpoint's folder or hub name."""
    repository: str | None = None
    """The id on a hub. null if unknown."""
    model_type: str
    """`model_type` of config.json."""
    licence: str | None = None
    """The licence. null if unknown."""
    adapters: Annotated[tuple[str, ...], Field(max_length=MAX_WORDS, fail_fast=True)] = ()
    """Names of the adapters merged into the weights, in this order."""


class Towers(Strict):
    """The plans of the towers, the best first, as in `Manifest.plans`. Empty if the bundle does not take the input."""

    image: PlanEntries = ()
    """Plans that make rows of embeddings from images and frames of videos."""
    audio: PlanEntries = ()
    """Plans that make rows of embeddings from audio."""


class Inexact(Strict):
    """A weight that q4 does not store exactly."""

    weight: str
    """The weight's name."""
    exact: Annotated[float, Field(ge=0, lt=1)]
    """Share of the weight's blocks that are exact."""
    error: Annotated[float, Field(ge=0)]
    """RMS of the error divided by the RMS of the values."""


class Grid(Strict):
    """For a model that was trained for Q4_0 and saved unquantized: the weights whose values q4 stores exactly. A value
    is exact if scale * code, in bf16, equals the value in the checkpoint."""

    exact: Annotated[int, Field(ge=0)]
    """Number of weights that are exact."""
    others: Annotated[tuple[Inexact, ...], Field(fail_fast=True)] = ()
    """The other weights."""


class Draft(Strict):
    """The ONNX graph of a draft model, which proposes tokens for a target model."""

    file: RelativePath
    """The graph's path in the bundle."""
    target_hidden: Annotated[int, Field(gt=0)]
    """Width of the target's embeddings and hidden states, which the graph takes."""


class Manifest(Strict):
    """The content of `gemtab.json`."""

    format: Literal[1] = MANIFEST_FORMAT
    """The version of this schema."""
    gemtab: str
    """The version of gemtab that made the export."""
    source: Source
    """The exported checkpoint."""
    weights: WeightFormat
    """How the bundle stores weights."""
    grid: Grid | None = None
    """How well q4 fits the weights of a model that was trained for Q4_0. null for other models."""
    context: Positive
    """The largest context of the text plans, in tokens."""
    inputs: Annotated[tuple[Input, ...], Field(max_length=4, fail_fast=True)]
    """Inputs that the bundle takes."""
    plans: PlanEntries
    """Text plans, the best first: use the first one whose features the device has. Empty for a bundle with a draft
    model alone, which cannot answer without its target."""
    towers: Towers = Towers()
    """Plans of the towers."""
    draft: Draft | None = None
    """The graph of a draft model. null for a bundle without one."""
    no_transformers_js: str | None = None
    """Why transformers.js cannot load the folder `onnx`. null if it can."""
    notes: Annotated[tuple[str, ...], Field(max_length=MAX_WORDS, fail_fast=True)] = ()
    """Remarks on the export for users, such as ignored or replaced parts of the checkpoint. One remark each."""
    files: dict[RelativePath, FileEntry]
    """All files of the bundle but the manifest, by path."""

    @model_validator(mode="after")
    def _holds_a_model(self) -> Self:
        if not self.plans and self.draft is None:
            raise ValueError("there is neither a plan nor a draft graph")
        return self
