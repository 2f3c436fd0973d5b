"""The variants, and `tiny`, the trained checkpoint, written as ONNX once per session."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from gemtab.backends.onnx import write_onnx
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import AUDIO_STEM, DECODER_STEM, DRAFT_STEM, EMBED_STEM, VISION_STEM
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.graph import Graph
from gemtab.model.audio import audio_graph
from gemtab.model.draft import draft_graph
from gemtab.model.spec import ModelSpec
from gemtab.model.text import decoder_graph, embed_graph
from gemtab.model.vision import vision_graph
from gemtab.weight_files.layout import lay_out
from gemtab.weight_files.shards import write_weights
from tests.assistants import ASSISTANTS, assistant
from tests.variants import TINY, variant


@dataclass(frozen=True)
class Written:
    """A checkpoint as ONNX in `folder`. graphs: paths by stem; locations: of each plane, by stem."""

    folder: Path
    format: WeightFormat
    spec: ModelSpec
    weights: CheckpointWeights
    graphs: dict[str, Path]
    locations: dict[str, dict[tuple[str, str], Location]]


def text_graphs(spec: ModelSpec) -> dict[str, Graph]:
    """The graphs of the text stack by stem."""
    return {EMBED_STEM: embed_graph(spec.text), DECODER_STEM: decoder_graph(spec.text)}


def tower_graphs(spec: ModelSpec) -> dict[str, Graph]:
    """The graphs of the model's towers, by stem."""
    vision = {VISION_STEM: vision_graph(spec.vision, spec.text)} if spec.vision else {}
    audio = {AUDIO_STEM: audio_graph(spec.audio, spec.text)} if spec.audio else {}
    return {**vision, **audio}


def draft_graphs(spec: ModelSpec) -> dict[str, Graph]:
    """The graph of a draft model, by stem."""
    assert spec.assistant is not None
    return {DRAFT_STEM: draft_graph(spec.text, spec.assistant)}


WrittenAs = Callable[[str, WeightFormat], Written]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> WrittenAs:
    """Text stacks as ONNX."""
    # Small files, so that a graph has several.
    return writer(tmp_path_factory, text_graphs, 200_000)


@pytest.fixture(scope="session")
def towers(tmp_path_factory: pytest.TempPathFactory) -> WrittenAs:
    """Towers as ONNX."""
    return writer(tmp_path_factory, tower_graphs, 2_000_000)


@pytest.fixture(scope="session")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> WrittenAs:
    """Draft models as ONNX."""
    return writer(tmp_path_factory, draft_graphs, 50_000)


def writer(
    folders: pytest.TempPathFactory, graphs: Callable[[ModelSpec], dict[str, Graph]], file_bytes: int
) -> WrittenAs:
    """Return a function that writes a checkpoint's `graphs` once, in data files of about `file_bytes`."""

    @cache
    def checkpoint(name: str) -> Path:
        if name in ASSISTANTS:
            return assistant(name, folders.mktemp(name))
        return TINY if name == "tiny" else variant(name, folders.mktemp(name))

    @cache
    def write(name: str, weight_format: WeightFormat) -> Written:
        source, folder = checkpoint(name), folders.mktemp(f"{name}-{weight_format}")
        spec = load_spec(source)
        weights = CheckpointWeights(Checkpoint.open(source), spec)
        paths, locations = {}, {}
        for stem, graph in graphs(spec).items():
            layout = lay_out(stem, graph.weights(), weight_format, file_bytes)
            write_weights(folder, [layout], weights, weight_format, lambda _: None)
            paths[stem] = folder / write_onnx(folder, stem, graph, weight_format, layout.locations)
            locations[stem] = layout.locations
        return Written(folder, weight_format, spec, weights, paths, locations)

    return write
