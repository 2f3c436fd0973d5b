"""Models with rounded activations: how many codes differ from the reference, and how near they are to a rounding
edge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from gemtab.backends.reference import Reference
from gemtab.backends.webgpu.engine.device import Device
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.graph import Graph, Node, Value
from gemtab.model.text import text_graph
from gemtab.quantize import DequantisedWeights
from tests.tables import FLIPS_LINE
from tests.variants import variant
from tests.webgpu.graphs import GraphOnDevice, Setting

MAX_FLIPS = 1e-5
"""Largest share of codes that differ."""

MARGIN = 1e-4
"""Largest distance from a rounding edge of a code that differs, in codes."""


@dataclass(frozen=True)
class Product:
    """The rows of one source of a matrix: codes of the reference and of the device for one x, and the reference's value
    before rounding, in f64."""

    expected: torch.Tensor
    found: torch.Tensor
    exact: torch.Tensor

    @property
    def codes(self) -> torch.Tensor:
        return torch.ones_like(self.found, dtype=torch.bool)

    @property
    def flipped(self) -> torch.Tensor:
        return self.found != self.expected

    @property
    def from_edge(self) -> torch.Tensor:
        """Distances of differing codes from a rounding edge, in codes."""
        return ((self.exact - self.exact.floor()) - 0.5).abs()[self.flipped]


def products(folder: Path, tokens: int) -> tuple[Graph, dict[str, torch.Tensor], CheckpointWeights]:
    """Return a graph of all rounded products of the model, and its inputs from the reference's run of the whole model.

    So each product shows its own flips, without those of products before it.
    """
    spec = load_spec(folder)
    reader = CheckpointWeights(Checkpoint.open(folder), spec)
    whole = text_graph(spec.text)
    rounding = [node for node in whole.nodes if node.op == "linear" and len(node.inputs) == 4]
    before = whole.needed_for({node.value(0).name: node.value(0) for node in rounding}, "before")
    ids = torch.randint(30, spec.text.vocabulary, (tokens,), generator=torch.Generator().manual_seed(5))
    inputs = {"input_ids": ids, "position_ids": torch.arange(tokens)}
    xs = Reference(before, DequantisedWeights(reader, "qat")).run(inputs, {})
    nodes = [
        Node(
            "linear",
            (Value(f"x{index}", node.value(0).shape), *node.inputs[1:]),
            (Value(f"y{index}", node.output.shape),),
            node.attrs,
            node.label,
        )
        for index, node in enumerate(rounding)
    ]
    graph = Graph(
        "products", tuple(node.value(0) for node in nodes), tuple(nodes), {one.output.name: one.output for one in nodes}
    )
    return graph, {one.value(0).name: xs[node.value(0).name] for one, node in zip(nodes, rounding, strict=True)}, reader


def compared(run: GraphOnDevice, given: dict[str, torch.Tensor], reader: CheckpointWeights) -> Iterator[Product]:
    weights = DequantisedWeights(reader, "qat")
    results = run.step(given, len(given["x0"]))
    for node in run.graph.nodes:
        weight = node.weight(1)
        values, x, (found, expected) = (
            weights.read(weight).double(),
            given[node.value(0).name],
            results[node.output.name],
        )
        before, after = (reader.read(node.weight(index)) for index in (2, 3))
        first = 0
        for rows, scale, out in zip(weight.parts, before, after, strict=True):
            part = slice(first, first + rows)
            first += rows
            if scale != 0 and out != 0:
                rounded = (x / scale).round().clamp(-128, 127).double() * scale.double()
                exact = rounded @ values[part].T / out.double()
                yield Product((expected[:, part] / out).round(), (found[:, part] / out).round(), exact)


@pytest.mark.parametrize("name", ["coded", "coded_ragged"])
@pytest.mark.parametrize(("tokens", "fill"), [(8, False), (64, True)], ids=["decode", "fill"])
def test_codes_flip_only_on_an_edge(
    name: str,
    tokens: int,
    fill: bool,
    tmp_path: Path,
    devices: Callable[[bool], Device],
    record_property: Callable[[str, object], None],
) -> None:
    graph, given, reader = products(variant(name, tmp_path / name), tokens)
    run = GraphOnDevice.make(graph, Setting("f32", "qat", fill=fill), tokens, tmp_path, devices(True), reader)
    found = list(compared(run, given, reader))
    codes, flipped = (sum(int(getattr(one, of).sum()) for one in found) for of in ("codes", "flipped"))
    from_edge = torch.cat([one.from_edge for one in found])
    farthest = float(from_edge.max()) if flipped else 0.0
    message = f"{flipped} of {codes} codes flipped, at most {farthest:.1e} of a code from the edge"
    record_property(FLIPS_LINE, f"{name}, {'prompt' if fill else 'answer'}: {message}")
    assert len(found) > 10 and codes > 10_000
    assert flipped <= MAX_FLIPS * codes + 1, message
    assert farthest <= MARGIN, message
    assert max(float((one.found - one.expected).abs().max()) for one in found) <= 1, message
