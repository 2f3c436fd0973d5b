"""Writes a graph as an ONNX file beside its data files."""

from collections.abc import Mapping
from pathlib import Path

import onnx_ir as ir

from gemtab import __version__
from gemtab.backends.onnx.attention import PAST_NAME, SHARED_NAME, read_cache
from gemtab.backends.onnx.emitter import BATCH, DTYPES, MICROSOFT, TOTAL, Dims, Emitter
from gemtab.backends.onnx.ops import EMISSIONS
from gemtab.backends.onnx.towers import SOFT_TOKENS, soft_tokens
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import graph_file
from gemtab.errors import CheckpointError
from gemtab.graph import CACHE, Graph, Node

OPSET = 21
"""Has all operators used here (Gelu came with 20). onnxruntime supports opset 21 since 1.18."""

IR_VERSION = 10

PRESENT_NAME = "present"
"""Begins the names of caches as outputs; `past_key_values` those as inputs."""


def write_onnx(
    out: Path,
    stem: str,
    graph: Graph,
    weight_format: WeightFormat,
    locations: Mapping[tuple[str, str], Location],
) -> str:
    """Write `graph` as `onnx/<stem><suffix>.onnx` in the bundle folder `out`, which has the graph's weights already.

    Returns the file's path in the bundle. Raises CheckpointError for an op without an ONNX form, and OSError if the
    file cannot be written.
    """
    name = graph_file(stem, weight_format)
    path = out / name
    model = onnx_model(graph, weight_format, locations, path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    ir.save(model, path)
    return name


def onnx_model(
    graph: Graph, weight_format: WeightFormat, locations: Mapping[tuple[str, str], Location], data_folder: Path
) -> ir.Model:
    """Return the graph as an ONNX model whose initializers are in files of `data_folder`."""
    e = Emitter(graph, weight_format, locations, data_folder)
    for value in graph.inputs:
        if value.dtype == CACHE:
            read_cache(e, value)
        else:
            e.define(value, e.input(value.name, e.dims(value), DTYPES[value.dtype]))
    for node in graph.nodes:
        with e.at(node):
            _emit(e, node)
    outputs = _outputs(e, graph)
    emitted = ir.Graph(
        sorted(e.inputs.values(), key=_is_past),
        outputs,
        nodes=e.nodes,
        initializers=list(e.initializers.values()),
        opset_imports={"": OPSET, MICROSOFT: 1},
        name=graph.name,
    )
    return ir.Model(emitted, ir_version=IR_VERSION, producer_name="gemtab", producer_version=__version__)


def _emit(e: Emitter, node: Node) -> None:
    emission = EMISSIONS.get(node.op)
    if emission is None:
        raise CheckpointError(f"The op {node.op} at {node.label} has no ONNX form: this model cannot be exported.")
    emitted = emission(e, node)
    if emitted is not None:
        e.define(node.output, emitted)


def _is_past(value: ir.Value) -> bool:
    """Whether an input is a cache; caches come after other inputs."""
    return bool(value.name and value.name.startswith((PAST_NAME, SHARED_NAME)))


def _outputs(e: Emitter, graph: Graph) -> list[ir.Value]:
    """Return the graph's outputs. A cache becomes two: `present.<layer>.key` and `.value`."""
    outputs: list[ir.Value] = []
    for name, value in graph.outputs.items():
        if value.dtype == CACHE:
            _, heads, size = value.shape
            present = f"{PRESENT_NAME}.{name.removeprefix('kv.')}"
            for part, cache in zip(("key", "value"), e.caches[value.name], strict=True):
                shape = (BATCH, heads, TOTAL, size)
                outputs.append(_named(cache, f"{present}.{part}", shape))
        elif name in SOFT_TOKENS:
            with e.at(graph.nodes[-1]):
                outputs.append(_named(soft_tokens(e, e.get(value)), name, ("soft_tokens", *value.shape[1:])))
        else:
            outputs.append(_named(e.get(value), name, e.dims(value)))
    return outputs


def _named(value: ir.Value, name: str, shape: Dims) -> ir.Value:
    value.name, value.shape, value.dtype = name, ir.Shape(shape), ir.DataType.FLOAT
    return value
