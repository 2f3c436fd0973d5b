"""The summaries that `gemtab inspect` shows of a bundle or a checkpoint."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from pydantic import ValidationError

from gemtab.bundle.folder import SHADERS, check_small_files, is_bundle, open_plan, read_manifest
from gemtab.bundle.manifest import MANIFEST_NAME, Draft, Grid, Manifest, PlanEntry, Source, WeightFormat
from gemtab.bundle.manifest_check import plan_entries
from gemtab.bundle.memory import memory_need, towers_need
from gemtab.bundle.onnx_files import FOLDER as ONNX_FOLDER
from gemtab.bundle.parity import PARITY_NAME, Parity
from gemtab.bundle.plan import Activation, Plan, Program, Strict, running
from gemtab.bundle.reading import read_bytes
from gemtab.chat_files import chat_files, model_inputs
from gemtab.checkpoint import Checkpoint, CheckpointWeights, Opened, load_spec, open_checkpoint
from gemtab.checkpoint.config import CONFIG_NAME, read_config_file
from gemtab.checkpoint.leftovers import leftovers
from gemtab.checkpoint.missing import folder_reason, has_only_config, names_in
from gemtab.checkpoint.naming import name_of
from gemtab.checkpoint.source import is_config_file
from gemtab.errors import BundleError, CheckpointError, UsageError
from gemtab.graph import Weight
from gemtab.model.spec import ModelSpec, TextSpec
from gemtab.model.weights import model_weights, parameter_count, text_weights
from gemtab.quantize import PlainFormat, planes


class ProgramSummary(Strict):
    """tokens: maximum tokens of one step. dispatches, longest_layer: GPU dispatches of such a step, in all and in its
    longest layer, while the conversation fits into the first segment of every cache. dispatches_at_most: GPU dispatches
    of a step at the end of the context, where every full layer reads its cache in segments."""

    tokens: int
    dispatches: int
    longest_layer: int
    dispatches_at_most: int


class PlanSummary(Strict):
    """A plan, with its programs by name."""

    activation: Activation
    programs: dict[str, ProgramSummary]


class MemorySummary(Strict):
    """GPU bytes of a plan with the bundle's whole context. towers: bytes that images and audio add."""

    activation: Activation
    weights: int
    state: int
    scratch: int
    towers: int
    needed: int


class BundleSummary(Strict):
    """sizes: bytes by kind of file. parameters, text_parameters: of the whole model, as transformers counts them, and
    of its text stack. weight_bytes: weights that a tab downloads for text; all weights of a draft model. towers: plans
    of the vision tower (`image`) and the audio tower (`audio`). draft: set where the bundle holds a draft model."""

    kind: Literal["bundle"] = "bundle"
    gemtab: str
    source: Source
    weights: WeightFormat
    grid: Grid | None
    context: int
    inputs: tuple[str, ...]
    sizes: dict[str, int]
    parameters: int
    text_parameters: int
    weight_bytes: int
    bits_per_weight: float
    memory: tuple[MemorySummary, ...]
    plans: tuple[PlanSummary, ...]
    towers: dict[str, tuple[PlanSummary, ...]]
    draft: Draft | None
    no_transformers_js: str | None
    notes: tuple[str, ...]
    parity: Parity | None


class CheckpointSummary(Strict):
    """layers_owning_kv: other layers read another layer's cache. export_bytes: a tab's weights by format.
    target_hidden: hidden size of a draft model's target, whose caches all its layers read; None for models that
    answer."""

    kind: Literal["checkpoint"] = "checkpoint"
    name: str
    model_type: str
    parameters: int
    text_parameters: int
    layers: int
    layers_owning_kv: int
    sliding_layers: int
    window: int | None
    hidden: int
    vocabulary: int
    per_layer_size: int
    experts: int
    context: int
    target_hidden: int | None
    export_bytes: dict[WeightFormat, int]
    notes: tuple[str, ...]


_LAYER = re.compile(r"(\w+\.)?layers\.\d+")
"""The layer in a dispatch's label, after the tower's name if any."""


def summarise(path: Path) -> BundleSummary | CheckpointSummary:
    """Summarise the bundle or checkpoint in the folder `path`, the GGUF file `path`, or the model that a config.json
    without weights describes.

    Raises UsageError where `path` is none of these, BundleError or CheckpointError where it is damaged.
    """
    if is_config_file(path):
        return summarise_config(path, path)
    if os.path.isfile(path):
        return summarise_checkpoint(path)
    if not os.path.isdir(path):
        raise UsageError(f"There is no folder {path}. Give the folder of a bundle or of a checkpoint, or a GGUF file.")
    if is_bundle(path):
        return summarise_bundle(path)
    if not (path / CONFIG_NAME).exists():
        reason = folder_reason(names_in(path))
        raise UsageError(
            f"{path} is neither a bundle (it has no {MANIFEST_NAME}) nor a checkpoint (it has no config.json)"
            + (f": {reason}" if reason else ".")
        )
    if not Checkpoint.is_in(path) and has_only_config(path):
        return summarise_config(path, path / CONFIG_NAME)
    return summarise_checkpoint(path)


def summarise_bundle(folder: Path) -> BundleSummary:
    """Summarise a bundle from its manifest, plans and parity report."""
    manifest = read_manifest(folder)
    check_small_files(folder, manifest)
    plans = {entry.file: open_plan(folder, manifest, entry.file) for entry in plan_entries(manifest)}
    spec = load_spec(folder)
    weights = text_weights(spec)
    text_parameters = parameter_count(weights)
    weight_bytes = (
        memory_need(manifest.plans[0], manifest.context).weights
        if manifest.plans
        else _stored_bytes(weights, manifest.weights)
    )
    return BundleSummary(
        gemtab=manifest.gemtab,
        source=manifest.source,
        weights=manifest.weights,
        grid=manifest.grid,
        context=manifest.context,
        inputs=manifest.inputs,
        sizes=_sizes(manifest),
        parameters=parameter_count(model_weights(spec)),
        text_parameters=text_parameters,
        weight_bytes=weight_bytes,
        bits_per_weight=8 * weight_bytes / text_parameters,
        memory=tuple(_memory_summary(manifest, entry) for entry in manifest.plans),
        plans=tuple(_plan_summary(plans[entry.file]) for entry in manifest.plans),
        towers={
            name: tuple(_plan_summary(plans[entry.file]) for entry in entries)
            for name, entries in (("image", manifest.towers.image), ("audio", manifest.towers.audio))
            if entries
        },
        draft=manifest.draft,
        no_transformers_js=manifest.no_transformers_js,
        notes=manifest.notes,
        parity=read_parity(folder) if PARITY_NAME in manifest.files else None,
    )


def _memory_summary(manifest: Manifest, entry: PlanEntry) -> MemorySummary:
    need, towers = memory_need(entry, manifest.context), towers_need(manifest)
    return MemorySummary(
        activation=entry.activation,
        weights=need.weights,
        state=need.state,
        scratch=need.scratch,
        towers=towers,
        needed=need.total + towers,
    )


def summarise_checkpoint(path: Path) -> CheckpointSummary:
    """Summarise a checkpoint from its config and the headers of its weight files, which are checked."""
    opened = open_checkpoint(path)
    weights = model_weights(opened.spec)
    notes = (*_notes(opened), *leftovers(opened.tensors, opened.spec, weights))
    CheckpointWeights(opened.tensors, opened.spec).check(weights)
    return _summary(opened.name.text, opened.spec, notes)


def summarise_config(path: Path, config: Path) -> CheckpointSummary:
    """Summarise the model that a config.json describes. path: the file or folder that the user named."""
    missing = (
        "The weights are missing: this summary is from config.json. An export needs the checkpoint's whole folder."
    )
    name = name_of(path.absolute().parent if path.name == CONFIG_NAME else path.with_suffix("")).text
    return _summary(name, read_config_file(config), (missing,))


def _summary(name: str, spec: ModelSpec, notes: tuple[str, ...]) -> CheckpointSummary:
    text, weights = spec.text, text_weights(spec)
    formats: tuple[WeightFormat, ...] = ("qat",) if text.codes else get_args(PlainFormat)
    return CheckpointSummary(
        name=name,
        model_type=spec.model_type,
        parameters=parameter_count(model_weights(spec)),
        text_parameters=parameter_count(weights),
        layers=len(text.layers),
        layers_owning_kv=sum(layer.owns_kv for layer in text.layers),
        sliding_layers=sum(layer.attention.kind == "sliding" for layer in text.layers),
        window=_window(text),
        hidden=text.hidden,
        vocabulary=text.vocabulary,
        per_layer_size=text.per_layer_size,
        experts=max(layer.moe.experts if layer.moe else 0 for layer in text.layers),
        context=text.max_positions,
        target_hidden=spec.assistant.target_hidden if spec.assistant else None,
        export_bytes={format_: _stored_bytes(weights, format_) for format_ in formats},
        notes=notes,
    )


def _notes(opened: Opened) -> tuple[str, ...]:
    """Return the notes of an export with all inputs, or the reason why the export would fail."""
    if opened.spec.assistant is not None:
        return tuple(opened.files.notes())
    try:
        return chat_files(opened.files, opened.spec, model_inputs(opened.spec)).notes
    except CheckpointError as error:
        return (*opened.files.notes(), f"An export would fail: {error}")


def read_parity(folder: Path) -> Parity:
    """Read the bundle's parity report. Raises BundleError where it cannot be read."""
    try:
        return Parity.model_validate_json(read_bytes(folder, PARITY_NAME))
    except ValidationError:
        path = folder / PARITY_NAME
        raise BundleError(
            f"{path} is not a parity report of this version of gemtab. Run `gemtab verify` again."
        ) from None


def _window(text: TextSpec) -> int | None:
    return next((layer.attention.window for layer in text.layers if layer.attention.window), None)


def _stored_bytes(weights: Iterable[Weight], weight_format: WeightFormat) -> int:
    return sum(plane.bytes for weight in weights for plane in planes(weight, weight_format))


def _sizes(manifest: Manifest) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for name, entry in manifest.files.items():
        sizes[_kind(name)] += entry.bytes
    return dict(sizes.most_common())


def _kind(name: str) -> str:
    folder = name.split("/", 1)[0]
    if folder == ONNX_FOLDER:
        return "ONNX graphs" if name.endswith(".onnx") else "weights"
    return {"plan": "plans", SHADERS: "shaders"}.get(folder, "tokenizer, template, configs")


def _plan_summary(plan: Plan) -> PlanSummary:
    programs = {name: _program_summary(program, plan.context) for name, program in plan.programs.items()}
    return PlanSummary(activation=plan.activation, programs=programs)


def _program_summary(program: Program, context: int) -> ProgramSummary:
    most = program.max_tokens
    start, end = (running(program, {"T": most, "P": position, "C": context}) for position in (0, context - most))
    layers = Counter(layer.group() for one in start if (layer := _LAYER.match(one.label)))
    return ProgramSummary(
        tokens=program.max_tokens,
        dispatches=len(start),
        longest_layer=max(layers.values(), default=0),
        dispatches_at_most=len(end),
    )
