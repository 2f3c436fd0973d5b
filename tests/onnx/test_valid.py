"""Every graph of every variant, format and published size is valid ONNX, by onnx's own checker and inference."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import onnx
import pytest

from gemtab.backends.onnx import write_onnx
from gemtab.backends.onnx.check import check_graph
from gemtab.backends.onnx.contrib import contrib_operators
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import DECODER_STEM
from gemtab.checkpoint.config import parse_config
from gemtab.errors import BundleError
from gemtab.model.spec import ModelSpec
from gemtab.quantize import PlainFormat
from gemtab.synth import published_config
from gemtab.synth.mobile import MOBILE_SIZES, as_mobile
from gemtab.synth.published import SIZES
from gemtab.weight_files.layout import lay_out
from tests.assistants import ASSISTANTS
from tests.onnx.conftest import WrittenAs, text_graphs, tower_graphs
from tests.variants import CODED, GRIDDED, TOWERS, VARIANTS

FORMATS: tuple[PlainFormat, ...] = get_args(PlainFormat)


def formats(name: str) -> tuple[WeightFormat, ...]:
    return ("qat",) if name in CODED else FORMATS


TEXTS = [(name, one) for name in (*VARIANTS, *CODED, *GRIDDED, *TOWERS, "tiny") for one in formats(name)]
SEEING_OR_HEARING = [(name, one) for name in (*TOWERS, "coded_tower") for one in formats(name)]


def assert_valid(folder: Path, path: Path) -> None:
    """By path, with data files, as users check a graph; and as `gemtab verify` does."""
    onnx.checker.check_model(str(path), full_check=True)
    inferred = folder / "inferred.onnx"
    with contrib_operators():
        onnx.checker.check_model(str(path), full_check=True, check_custom_domain=True)
        onnx.shape_inference.infer_shapes_path(
            str(path), str(inferred), check_type=True, strict_mode=True, data_prop=True
        )
    graph = onnx.load(inferred, load_external_data=False).graph
    inferred.unlink()
    ranked = {value.name for value in (*graph.value_info, *graph.output) if value.type.tensor_type.HasField("shape")}
    assert {output for node in graph.node for output in node.output if output} <= ranked
    assert check_graph(folder, path.relative_to(folder).as_posix()) == len(graph.node)


@pytest.mark.parametrize(("name", "weight_format"), TEXTS)
def test_text_stacks(name: str, weight_format: WeightFormat, written: WrittenAs) -> None:
    exported = written(name, weight_format)
    for path in exported.graphs.values():
        assert_valid(exported.folder, path)


@pytest.mark.parametrize(("name", "weight_format"), SEEING_OR_HEARING)
def test_towers(name: str, weight_format: WeightFormat, towers: WrittenAs) -> None:
    exported = towers(name, weight_format)
    for path in exported.graphs.values():
        assert_valid(exported.folder, path)


@pytest.mark.parametrize(("name", "weight_format"), [(name, one) for name in ASSISTANTS for one in FORMATS])
def test_drafts(name: str, weight_format: WeightFormat, drafts: WrittenAs) -> None:
    exported = drafts(name, weight_format)
    for path in exported.graphs.values():
        assert_valid(exported.folder, path)


def without_weights(folder: Path, spec: ModelSpec, weight_format: WeightFormat) -> Iterator[tuple[Path, int]]:
    """The graphs of a model beside sparse data files of the right sizes, and the bytes of data."""
    for stem, graph in {**text_graphs(spec), **tower_graphs(spec)}.items():
        layout = lay_out(stem, graph.weights(), weight_format)
        for file, size in layout.files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            with (folder / file).open("wb") as data:
                data.truncate(size)
        yield folder / write_onnx(folder, stem, graph, weight_format, layout.locations), sum(layout.files.values())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weight_format", ["q4", "f32"])
def test_published_sizes(size: str, weight_format: WeightFormat, tmp_path: Path) -> None:
    """In f32, the data of each graph exceed the 2 GB of a protobuf."""
    spec = parse_config(published_config(size), size)
    held = 0
    for path, count in without_weights(tmp_path, spec, weight_format):
        assert_valid(tmp_path, path)
        held = max(held, count)
    assert held > 2**31 or weight_format == "q4"


@pytest.mark.parametrize("size", MOBILE_SIZES)
def test_published_sizes_pre_quantized(size: str, tmp_path: Path) -> None:
    spec = parse_config(as_mobile(published_config(size), size), size)
    for path, _ in without_weights(tmp_path, spec, "qat"):
        assert_valid(tmp_path, path)


def test_behind_operators_that_onnx_does_not_know_strict_inference_finds_nothing(written: WrittenAs) -> None:
    """So the check registers schemas of these operators."""
    model = onnx.load(written("base", "q4").graphs[DECODER_STEM], load_external_data=False)
    last = [node for node in model.graph.node if node.op_type == "Concat"][-1]
    last.attribute[0].i = 9
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    with contrib_operators(), pytest.raises(onnx.shape_inference.InferenceError, match=last.name):
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def test_onnx_is_left_as_it_was(written: WrittenAs) -> None:
    with contrib_operators():
        pass
    path = written("base", "q4").graphs[DECODER_STEM]
    with pytest.raises(onnx.checker.ValidationError, match="MatMulNBits"):
        onnx.checker.check_model(str(path), full_check=True, check_custom_domain=True)


def test_links_into_the_store_of_a_hubs_cache_are_checked_too(written: WrittenAs, tmp_path: Path) -> None:
    """onnx's checker, given a path, rejects data files that are links."""
    exported = written("base", "q4")
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    (snapshot / "onnx").mkdir(parents=True)
    for path in (exported.folder / "onnx").iterdir():
        shutil.copyfile(path, blobs / path.name)
        (snapshot / "onnx" / path.name).symlink_to(blobs / path.name)
    for path in exported.graphs.values():
        assert check_graph(snapshot, f"onnx/{path.name}") > 0


def test_data_that_end_too_soon_are_named(written: WrittenAs, tmp_path: Path) -> None:
    exported = written("base", "q4")
    folder = Path(shutil.copytree(exported.folder, tmp_path / "short"))
    last = max(exported.locations[DECODER_STEM].values(), key=lambda at: (at.file, at.offset))
    with (folder / last.file).open("rb+") as data:
        data.truncate(last.offset + last.bytes - 1)
    with pytest.raises(BundleError, match=f"takes {last.bytes:,} bytes"):
        check_graph(folder, exported.graphs[DECODER_STEM].relative_to(exported.folder).as_posix())
