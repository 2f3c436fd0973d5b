"""Values, weights and nodes.

A graph is a list of nodes in execution order. The torch function of an op in `gemtab.backends.reference` defines the
op. The op's method in `gemtab.graph.builder` has the shape rule.
"""

from dataclasses import dataclass, field
from typing import Literal

Dim = int | str
"""A size: a number, or a symbol. `T` is the number of tokens in this step; `9T` is nine times as many."""

Shape = tuple[Dim, ...]


def known(dim: Dim) -> int:
    """Return a size that must be a number."""
    assert isinstance(dim, int), f"expected a known size, found {dim}"
    return dim


Role = Literal["matrix", "table", "vector", "bound", "experts", "ordering"]
"""The use of a weight, which decides how the weight may be stored.

matrix [rows, columns]            multiplies activations
table [rows, columns]             is looked up by row; a tied head multiplies by the table too
experts [experts, rows, columns]  a stack of matrices
vector                            norm weights, scalars, biases, small kernels; always f32
bound                             a few scalars: bounds or scales of activations; always f32
ordering [n]                      a permutation of 0 … n - 1, as i32
"""

Attr = int | float | str | bool | None | tuple[int, ...]

CACHE = "cache"
"""The dtype of a value that is a layer's key/value cache instead of a tensor."""


@dataclass(frozen=True)
class Value:
    """The result of a node, or an input of the graph.

    shape: may have symbolic sizes. dtype: `f32`, `i32` (token ids, positions, expert ids) or `cache`.
    """

    name: str
    shape: Shape
    dtype: str = "f32"


@dataclass(frozen=True)
class Weight:
    """A tensor of the checkpoint, or several tensors stacked along the first axis.

    name: the name within gemtab, e.g. `layers.3.attention.qkv`.
    sources: names in the checkpoint, without the model's prefix, in stacking order.
    parts: rows of each source.
    source_bits: bits of each source's integer weights; empty for floats.
    groups: scales per row of integer weights.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    sources: tuple[str, ...]
    parts: tuple[int, ...] = ()
    source_bits: tuple[int, ...] = ()
    groups: int = 1

    @property
    def bits(self) -> int | None:
        """Bits of the stored integer weights: the most of any source. None for floats."""
        return max(self.source_bits, default=None)


@dataclass(frozen=True)
class Node:
    """One application of an op. `label` is the location in the model, e.g. `layers.3.attention`."""

    op: str
    inputs: tuple[Value | Weight, ...]
    outputs: tuple[Value, ...]
    attrs: dict[str, Attr] = field(default_factory=dict)
    label: str = ""

    @property
    def output(self) -> Value:
        """The node's only output."""
        (value,) = self.outputs
        return value

    def integer(self, name: str) -> int:
        """The attribute `name`, which is an integer."""
        attr = self.attrs[name]
        assert isinstance(attr, int), f"{self.op} at {self.label}: {name} is {attr!r}"
        return attr

    def number(self, name: str) -> float:
        """The attribute `name`, which is a number."""
        attr = self.attrs[name]
        assert isinstance(attr, int | float), f"{self.op} at {self.label}: {name} is {attr!r}"
        return float(attr)

    def value(self, index: int) -> Value:
        """The input at `index`, which is a value and not a weight."""
        item = self.inputs[index]
        assert isinstance(item, Value), f"{self.op} at {self.label}: input {index} is a weight"
        return item

    def weight(self, index: int) -> Weight:
        """The input at `index`, which is a weight and not a value."""
        item = self.inputs[index]
        assert isinstance(item, Weight), f"{self.op} at {self.label}: input {index} is not a weight"
        return item


@dataclass(frozen=True)
class Graph:
    """Nodes in execution order, with the graph's inputs and named outputs.

    outputs: may name caches. A graph whose outputs are all caches only fills the caches.
    """

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: dict[str, Value]

    def weights(self) -> list[Weight]:
        """Return every weight once, in the order of first use."""
        seen: dict[str, Weight] = {}
        for node in self.nodes:
            for item in node.inputs:
                if isinstance(item, Weight):
                    seen.setdefault(item.name, item)
        return list(seen.values())

    def needed_for(self, outputs: dict[str, Value], name: str) -> "Graph":
        """Return the part of the graph that `outputs` depend on, as a graph called `name`."""
        wanted = {value.name for value in outputs.values()}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if any(out.name in wanted for out in node.outputs):
                kept.append(node)
                wanted.update(item.name for item in node.inputs if isinstance(item, Value))
        inputs = tuple(value for value in self.inputs if value.name in wanted)
        return Graph(name, inputs, tuple(reversed(kept)), outputs)
