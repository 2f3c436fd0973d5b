"""The variants, and `tiny`, the trained checkpoint, written as ONNX once a session."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from gemtab.backends.onnx import write_onnx
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import DECODER_STEM, EMBED_STEM
from gemtab.bundle.shards import Location, write_weights
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.model.spec import TextSpec
from gemtab.model.text import decoder_graph, embed_graph
from tests.variants import TINY, variant


@dataclass(frozen=True)
class Written:
    """A checkpoint as ONNX in `folder`. graphs: paths by stem; locations: of each plane, by stem."""

    folder: Path
    format: WeightFormat
    spec: TextSpec
    weights: CheckpointWeights
    graphs: dict[str, Path]
    locations: dict[str, dict[tuple[str, str], Location]]


WrittenAs = Callable[[str, WeightFormat], Written]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> WrittenAs:
    @cache
    def checkpoint(name: str) -> Path:
        return TINY if name == "tiny" else variant(name, tmp_path_factory.mktemp(name))

    @cache
    def write(name: str, weight_format: WeightFormat) -> Written:
        source, folder = checkpoint(name), tmp_path_factory.mktemp(f"{name}-{weight_format}")
        spec = load_spec(source)
        weights = CheckpointWeights(Checkpoint.open(source), spec)
        graphs, locations = {}, {}
        for stem, graph in ((EMBED_STEM, embed_graph(spec.text)), (DECODER_STEM, decoder_graph(spec.text))):
            # Small files, so that graphs have several.
            at = write_weights(folder, stem, graph.weights(), weights, weight_format, lambda _: None, 200_000)
            graphs[stem] = folder / write_onnx(folder, stem, graph, weight_format, at)
            locations[stem] = at
        return Written(folder, weight_format, spec.text, weights, graphs, locations)

    return write
