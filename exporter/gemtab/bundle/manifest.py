"""The schema of `gemtab.json`, the manifest of a bundle.

A bundle is complete when its manifest is there: it is written last.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from gemtab.bundle.plan import Activation, Expr, Feature, Positive, Strict

MANIFEST_FORMAT: Final = 1
MANIFEST_NAME: Final = "gemtab.json"
"""The manifest's name in a bundle."""

MOST_WORDS: Final = 1000
"""Notes, and names of adapters."""

WeightFormat = Literal["f32", "f16", "q8", "q4", "qat"]
"""How a bundle's weights are stored. qat: as codes that the checkpoint was trained with."""
Input = Literal["text", "image", "audio", "video"]
Tower = Literal["image", "audio"]
"""The kinds of towers."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")]
"""A file of the bundle; no part of the path begins with a dot, so that none leads out of the folder."""


class FileEntry(Strict):
    """One file of the bundle. sha256: of each slice of `slice_bytes` (the last may be shorter), so that a slice is
    checked before it is used; a file no longer than a slice has one digest."""

    bytes: Annotated[int, Field(ge=0)]
    slice_bytes: Annotated[int, Field(gt=0)]
    sha256: Annotated[tuple[Sha256, ...], Field(fail_fast=True)]


class PlanMemory(Strict):
    """GPU bytes that an executor allocates for a plan, in C, the context chosen at load, and T, the tokens of a step.

    weights: with the tables of angles, but without what is only looked up. tables: that, where it lies on the GPU;
    rows: what takes its place where it lies on the host. Both are 0 where a model has none. state: the caches, once
    all are in use; scratch: slots, controls, params and what comes out, while a step runs. What a conversation keeps
    beside them is not in it: snapshots of rings, and rows of pictures and sound.
    """

    weights: Annotated[int, Field(ge=0)]
    tables: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=0)]
    state: Expr
    scratch: Expr


class PlanEntry(Strict):
    """A plan of the bundle and what a device needs for it; the first that fits is used. tokens: the most of a step."""

    file: RelativePath
    activation: Activation
    features: Annotated[tuple[Feature, ...], Field(fail_fast=True)] = ()
    tokens: Annotated[int, Field(gt=0)]
    memory: PlanMemory


PlanEntries = Annotated[tuple[PlanEntry, ...], Field(max_length=16, fail_fast=True)]


class Source(Strict):
    """What was exported: the checkpoint's folder or hub name, its id on a hub where that is known, its model_type, its
    licence where it is known, and the adapters that were merged into it, in this order."""

    name: str
    repository: str | None = None
    model_type: str
    licence: str | None = None
    adapters: Annotated[tuple[str, ...], Field(max_length=MOST_WORDS, fail_fast=True)] = ()


class Towers(Strict):
    """The plans that make rows of embeddings of pictures (frames of clips too) and of sound; none where the bundle does
    not take them."""

    image: PlanEntries = ()
    audio: PlanEntries = ()


class Inexact(Strict):
    """A weight that q4 does not keep to the last bit. exact: the share of its blocks that are; error: the RMS of what
    is lost by that of the values."""

    weight: str
    exact: Annotated[float, Field(ge=0, lt=1)]
    error: Annotated[float, Field(ge=0)]


class Grid(Strict):
    """Of a model that was trained for Q4_0 and saved unquantised: of how many weights q4 keeps every value (scale times
    code, in bf16, is what the checkpoint has), and the others."""

    exact: Annotated[int, Field(ge=0)]
    others: Annotated[tuple[Inexact, ...], Field(fail_fast=True)] = ()


class Draft(Strict):
    """The ONNX graph that drafts tokens for a target model. target_hidden: width of that model's embeddings and hidden
    states, which the graph takes."""

    file: RelativePath
    target_hidden: Annotated[int, Field(gt=0)]


class Manifest(Strict):
    """`gemtab.json`. plans: none where the bundle holds a drafter alone, which cannot answer without its target.
    no_transformers_js: why transformers.js does not load the `onnx` folder; nothing where it does. notes: what a user
    should know of the export, one thought each: what was left out, and what was taken from another place than usual."""

    format: Literal[1] = MANIFEST_FORMAT
    gemtab: str
    source: Source
    weights: WeightFormat
    grid: Grid | None = None
    context: Positive
    inputs: Annotated[tuple[Input, ...], Field(max_length=4, fail_fast=True)]
    plans: PlanEntries
    towers: Towers = Towers()
    draft: Draft | None = None
    no_transformers_js: str | None = None
    notes: Annotated[tuple[str, ...], Field(max_length=MOST_WORDS, fail_fast=True)] = ()
    files: dict[RelativePath, FileEntry]

    @model_validator(mode="after")
    def _holds_a_model(self) -> Self:
        if not self.plans and self.draft is None:
            raise ValueError("there is neither a plan nor a draft graph")
        return self
