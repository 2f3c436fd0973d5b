"""Export a checkpoint to a bundle. The export is atomic: everything is written beside OUT, and renamed at the end.

Weights that are written survive an interruption: see `gemtab.weight_files.partial`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import gemtab
from gemtab.backends.onnx import write_onnx
from gemtab.backends.webgpu.compile import compile_plans
from gemtab.backends.webgpu.compile_tower import compile_tower
from gemtab.backends.webgpu.fuse import fuse
from gemtab.backends.webgpu.fuse_tower import fuse_tower
from gemtab.backends.webgpu.fusion import FusedGraph
from gemtab.bundle.digest import SLICE_BYTES, digest_files
from gemtab.bundle.folder import is_bundle, write_manifest
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import Draft, Grid, Input, Manifest, PlanEntry, Source, Tower, Towers, WeightFormat
from gemtab.bundle.onnx_files import (
    DECODER_STEM,
    DRAFT_STEM,
    EMBED_STEM,
    PREPROCESSOR_FILE,
    TOWER_STEMS,
    graph_file,
    preprocessor_config,
    transformers_js_config,
)
from gemtab.bundle.plan import Limits
from gemtab.card import with_card
from gemtab.chat.generation_config import GENERATION_CONFIG_NAME
from gemtab.chat_files import AdapterFiles, ChatFiles, chat_files
from gemtab.chat_files.trial import check_chat
from gemtab.checkpoint import CheckpointWeights, Opened, adapted, open_checkpoint
from gemtab.checkpoint.adapter import adapted_spec, adapter_notes, with_vocabulary
from gemtab.checkpoint.config import CONFIG_NAME, read_config
from gemtab.checkpoint.fingerprint import fingerprint
from gemtab.checkpoint.gemma3 import MODEL_TYPE as GEMMA3
from gemtab.checkpoint.leftovers import leftovers
from gemtab.checkpoint.naming import Name, name_of
from gemtab.checkpoint.promised import PromisedTensors
from gemtab.checkpoint.source import Files, FolderFiles
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.checkpoint.tensors import Tensors
from gemtab.errors import CheckpointError, OutputError
from gemtab.export.options import check_weights, choose_context, choose_inputs, choose_weights, limited_to
from gemtab.graph import Graph
from gemtab.grid_report import grid_report
from gemtab.media.rules import PROCESSOR_CONFIG_NAME
from gemtab.model.draft import draft_graph
from gemtab.model.spec import TextSpec
from gemtab.model.text import decoder_graph, embed_graph, fill_graph, text_graph
from gemtab.model.towers import tower_graphs
from gemtab.model.weights import model_weights
from gemtab.output import check_name, is_taken
from gemtab.weight_files.layout import Layout, lay_out
from gemtab.weight_files.partial import Partial, partial
from gemtab.weight_files.shards import write_weights

Locations = dict[tuple[str, str], Location]


class Progress(Protocol):
    """Receives the progress of an export."""

    def begin(self, stage: str, total: int) -> None:
        """A stage begins. stage: its description. total: its bytes; 0 where they are not counted."""

    def advance(self, amount: int) -> None:
        """`amount` more bytes are done."""


def export_bundle(
    source: Path,
    out: Path,
    weights: WeightFormat | None,
    context: int | None,
    force: bool,
    progress: Progress,
    *,
    inputs: Sequence[str] | None = None,
    adapters: Sequence[Path] = (),
    name: str | None = None,
    limits: Limits | None = None,
    slice_bytes: int = SLICE_BYTES,
) -> Manifest:
    """Export the checkpoint `source`, a folder or a GGUF file, to the bundle `out`. Return its manifest.

    weights: format of the weights; by default qat for a pre-quantized checkpoint, else q4.
    context: maximum tokens of a conversation; by default the model's maximum, at most DEFAULT_CONTEXT.
    force: replace a bundle at `out`; any other folder is an error.
    inputs: inputs of the bundle beside text, by default all of the model; towers of other inputs are left out.
    adapters: folders of LoRA adapters that are merged into the checkpoint, in this order.
    name: the checkpoint's id on a hub; by default the checkpoint has the name of its folder or file.
    limits: limits that plans assume of a device, by default those that every WebGPU device has.
    slice_bytes: bytes of a file that a tab downloads and checks at a time. Raises UsageError where the model does not
    have this context or these inputs, CheckpointError where the source is damaged or not supported, OutputError where
    the output cannot be written. After an error or an interruption nothing new is at `out`; the next export of the same
    source resumes with the weights that are written.
    """
    progress.begin("Reading the checkpoint", 0)
    opened = open_checkpoint(source)
    chosen = _choose(opened.spec, opened.files, weights, context, inputs, adapters)
    tensors, weights = adapted(opened.tensors, adapters, opened.spec), chosen.weights
    whole = adapted_spec(opened.spec, tensors)
    spec = replace(chosen.spec, text=_sized_as(chosen.spec.text, whole.text))
    _check_patterns(spec)
    notes = (
        *chosen.notes,
        *leftovers(tensors, whole, model_weights(whole)),
        *adapter_notes(tensors, opened.spec, whole),
    )
    reader = CheckpointWeights(tensors, spec)
    for graph in _graphs(spec).values():
        reader.check(graph.weights())
    check_output(out, force)
    layouts = {stem: lay_out(stem, graph.weights(), weights) for stem, graph in _graphs(spec).items()}
    if opened.spec.assistant is None:
        check_chat(chosen.texts, source)
    made_of = fingerprint(source, adapters, repr([weights, layouts]))
    called = opened.name if name is None else Name(name, name)
    described = _described(called, opened, adapters)
    limits = limits or Limits()
    texts, taken = chosen.texts, chosen.inputs
    # Adapters may change the vocabulary, but not the towers.
    fused = chosen.fused if spec.text == chosen.spec.text else _fused(spec)
    made = _Export(
        texts, notes, described, spec, fused, taken, reader, weights, chosen.context, limits, slice_bytes, progress
    )
    copied = sum(len(text.encode()) for text in texts.values())
    with partial(out, made_of, [*layouts.values()], copied) as unfinished:
        return made.write(unfinished, layouts)


@dataclass(frozen=True)
class _Fused:
    """The fused graphs of a model. text: the whole text stack; None for a draft model, which has no plan yet."""

    text: FusedGraph | None
    towers: Mapping[Tower, FusedGraph]


def _fused(spec: CheckpointSpec) -> _Fused:
    """Fuse the model's graphs. Raises CheckpointError where the model needs kernels that do not exist."""
    text = fuse(text_graph(spec.text)) if spec.assistant is None else None
    return _Fused(text, {tower: fuse_tower(graph) for tower, graph in tower_graphs(spec).items()})


@dataclass(frozen=True)
class _Chosen:
    """The content of an export, as decided by config and options. texts: copied files by name. notes: see Manifest."""

    spec: CheckpointSpec
    fused: _Fused
    inputs: tuple[Input, ...]
    weights: WeightFormat
    context: int
    texts: Mapping[str, str]
    notes: tuple[str, ...]


def check_without_weights(
    folder: Path,
    weights: WeightFormat | None,
    context: int | None,
    inputs: Sequence[str] | None,
    adapters: Sequence[Path],
) -> None:
    """Check a checkpoint's folder and options before the weights exist. Raises as export_bundle does."""
    _choose(read_config(folder), FolderFiles(folder), weights, context, inputs, adapters)


def _choose(
    spec: CheckpointSpec,
    files: Files,
    weights: WeightFormat | None,
    context: int | None,
    inputs: Sequence[str] | None,
    adapters: Sequence[Path],
) -> _Chosen:
    """Decide the content of an export without reading tensors. Raises as export_bundle does."""
    taken = choose_inputs(spec, inputs)
    spec = limited_to(spec, taken)
    fused = _fused(spec)
    weights = weights or choose_weights(spec)
    check_weights(spec, weights, adapters)
    grown = with_vocabulary(spec, _promised(spec, files, adapters))
    beside = _chats_files(files, adapters, grown, taken) if spec.assistant is None else _assistants_files(files)
    texts = {CONFIG_NAME: files.text(CONFIG_NAME), **beside.texts}
    return _Chosen(spec, fused, taken, weights, choose_context(spec, context), texts, beside.notes)


def _chats_files(files: Files, adapters: Sequence[Path], spec: CheckpointSpec, taken: Sequence[Input]) -> ChatFiles:
    """Return the files of a chat, those of adapters included."""
    return chat_files(AdapterFiles(files, adapters, spec.text.vocabulary), spec, taken)


def _promised(spec: CheckpointSpec, files: Files, adapters: Sequence[Path]) -> Tensors:
    """Return the tensors that the config promises, with the adapters merged, to check shapes without any values. Raises
    CheckpointError as `adapted` does."""
    if not adapters:
        return PromisedTensors((), spec, files.where)
    return adapted(PromisedTensors(model_weights(spec), spec, files.where), adapters, spec)


def _sized_as(text: TextSpec, adapted_text: TextSpec) -> TextSpec:
    """Return the text stack with the vocabulary and head that adapters leave."""
    sizes = {name: getattr(adapted_text, name) for name in ("vocabulary", "per_layer_vocabulary", "tied")}
    return replace(text, **sizes)


def _check_patterns(spec: CheckpointSpec) -> None:
    """Raise CheckpointError where the patterns of quantization_config match no module: only tensors have the names."""
    codes = spec.trained_codes
    if codes is None:
        return
    matrices = [weight for graph in _graphs(spec).values() for weight in graph.weights()]
    if codes.names_none_of([source for weight in matrices for source in weight.sources]):
        raise CheckpointError(
            f"quantization_config: the patterns of module_quant_configs match no module: "
            f"{', '.join(key for key, _ in codes.patterns)}. Check that config.json belongs to this checkpoint."
        )


def _assistants_files(files: Files) -> ChatFiles:
    """Return the files of a draft model: it has its target's tokenizer, and may state how many tokens to draft."""
    found = files.find(GENERATION_CONFIG_NAME)
    return ChatFiles({} if found is None else {GENERATION_CONFIG_NAME: files.text(GENERATION_CONFIG_NAME)}, ())


def check_output(out: Path, force: bool) -> None:
    """Raise OutputError where `out` exists and must not be replaced."""
    check_name(out)
    if not is_taken(out):
        return
    if not is_bundle(out):
        raise OutputError(f"{out} exists and is not a bundle, so it is not replaced. Choose another output folder.")
    if not force:
        raise OutputError(f"{out} exists. Add --force to replace this bundle, or choose another output folder.")


def _graphs(spec: CheckpointSpec) -> dict[str, Graph]:
    """Return the ONNX graphs by the stem of their file names."""
    if spec.assistant:
        return {DRAFT_STEM: draft_graph(spec.text, spec.assistant)}
    towers = {TOWER_STEMS[tower]: graph for tower, graph in tower_graphs(spec).items()}
    return {EMBED_STEM: embed_graph(spec.text), DECODER_STEM: decoder_graph(spec.text), **towers}


@dataclass(frozen=True)
class _Export:
    """One export: its source and options. See export_bundle."""

    texts: Mapping[str, str]
    notes: tuple[str, ...]
    source: Source
    spec: CheckpointSpec
    fused: _Fused
    inputs: tuple[Input, ...]
    reader: CheckpointWeights
    weights: WeightFormat
    context: int
    limits: Limits
    slice_bytes: int
    progress: Progress

    def write(self, unfinished: Partial, layouts: dict[str, Layout]) -> Manifest:
        """Write the bundle, the manifest last."""
        out = unfinished.folder
        exact = self._write_weights(unfinished, [*layouts.values()])
        locations = self._write_graphs(out, layouts)
        plans = () if self.spec.assistant else self._compile(out, locations)
        towers = self._compile_towers(out, locations)
        _write_texts(self.texts, out, self.weights, self.spec.text)
        manifest = with_card(out, self._manifest(out, plans, towers, self._grid(exact)))
        write_manifest(out, manifest)
        return manifest

    def _write_weights(self, unfinished: Partial, layouts: Sequence[Layout]) -> dict[str, int]:
        """Write the weights. Return the number of blocks of each weight that are stored without loss."""
        total = sum(location.bytes for layout in layouts for location in layout.locations.values())
        again = ", from where the last export stopped" if unfinished.journal.done else ""
        self.progress.begin(f"Packing the weights{again}", total)
        advance, journal = self.progress.advance, unfinished.journal
        return write_weights(unfinished.folder, layouts, self.reader, self.weights, advance, journal)

    def _grid(self, exact: Mapping[str, int]) -> Grid | None:
        weights = {weight.name: weight for graph in _graphs(self.spec).values() for weight in graph.weights()}
        return grid_report(weights.values(), self.weights, exact, self.reader)

    def _write_graphs(self, out: Path, layouts: dict[str, Layout]) -> Locations:
        """Write the ONNX graphs. Return the locations of the weights. The tied embedding is stored for two graphs; its
        location is the one that comes first in a download."""
        locations: Locations = {}
        for stem, graph in _graphs(self.spec).items():
            write_onnx(out, stem, graph, self.weights, layouts[stem].locations)
            locations = {**layouts[stem].locations, **locations}
        return locations

    def _compile(self, out: Path, locations: Locations) -> tuple[PlanEntry, ...]:
        self.progress.begin("Compiling for WebGPU", 0)
        text = self.spec.text
        media = self.spec.vision is not None or self.spec.audio is not None
        filling, whole = fuse(fill_graph(text, media)), self.fused.text
        assert whole is not None
        return compile_plans(filling, whole, self.weights, locations, self.reader, out, self.context, self.limits)

    def _compile_towers(self, out: Path, locations: Locations) -> Towers:
        """Write the plan of each tower."""
        entries = {
            tower: (compile_tower(tower, fused, self.weights, locations, self.reader, out, self.limits),)
            for tower, fused in self.fused.towers.items()
        }
        return Towers(image=entries.get("image", ()), audio=entries.get("audio", ()))

    def _manifest(self, out: Path, plans: tuple[PlanEntry, ...], towers: Towers, grid: Grid | None) -> Manifest:
        files = _files(out)
        self.progress.begin("Computing digests", sum((out / name).stat().st_size for name in files))
        return Manifest(
            gemtab=gemtab.__version__,
            source=self.source,
            weights=self.weights,
            grid=grid,
            context=self.context,
            inputs=self.inputs,
            plans=plans,
            towers=towers,
            draft=self._draft(),
            no_transformers_js=_no_transformers_js(self.spec),
            notes=self.notes,
            files=digest_files(out, files, self.slice_bytes, self.progress.advance),
        )

    def _draft(self) -> Draft | None:
        if self.spec.assistant is None:
            return None
        file = graph_file(DRAFT_STEM, self.weights)
        return Draft(file=file, target_hidden=self.spec.assistant.target_hidden)


def _no_transformers_js(spec: CheckpointSpec) -> str | None:
    """Return why transformers.js 4.3 cannot load the graphs of this model; None where it can."""
    if spec.assistant is not None:
        return "it does not support draft models"
    if spec.model_type == GEMMA3:
        return "it expects Gemma 3 as one graph"
    if spec.text.image_blocks:
        return "it cannot pass `block_ids`, by which the tokens of one image see each other"
    return None


def _write_texts(texts: Mapping[str, str], folder: Path, weights: WeightFormat, stack: TextSpec) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    if PROCESSOR_CONFIG_NAME in texts:
        _write_json(folder / PREPROCESSOR_FILE, preprocessor_config(json.loads(texts[PROCESSOR_CONFIG_NAME])))
    config = _as_stored(json.loads(texts[CONFIG_NAME]), stack)
    settings = transformers_js_config(weights, _files(folder))
    _write_json(folder / CONFIG_NAME, {**config, "transformers.js_config": settings})


def _as_stored(config: dict[str, Any], text: TextSpec) -> dict[str, Any]:
    """Return config.json with the vocabulary and head of the tensors, which adapters may have changed."""
    if config.get("tie_word_embeddings", True) != text.tied:
        config["tie_word_embeddings"] = text.tied
    sizes = config.get("text_config", config)
    if sizes.get("vocab_size", text.vocabulary) != text.vocabulary:
        sizes["vocab_size"] = text.vocabulary
        if "vocab_size_per_layer_input" in sizes:
            sizes["vocab_size_per_layer_input"] = text.per_layer_vocabulary
    return config


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _described(name: Name, opened: Opened, adapters: Sequence[Path]) -> Source:
    """Describe the source for the manifest. Only names of folders: their paths on the exporting machine are private."""
    return Source(
        name=name.text,
        repository=name.repository,
        model_type=opened.spec.model_type,
        licence=opened.files.licence(),
        adapters=tuple(name_of(adapter).text for adapter in adapters),
    )
