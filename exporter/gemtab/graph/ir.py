"""Values, weights and nodes.

A graph is a list of nodes in execution order. What an op means is defined by its few lines of torch in
`gemtab.backends.reference`; its shape rule stands in `gemtab.graph.builder`.
"""

from dataclasses import dataclass, field
from typing import Literal

Dim = int | str
"""A size: a number, or the name of a symbolic one (`T` tokens in this step, `9T` nine times as many)."""

Shape = tuple[Dim, ...]


def known(dim: Dim) -> int:
    """A size that is a number and not a symbol."""
    assert isinstance(dim, int), f"expected a known size, found {dim}"
    return dim


Role = Literal["matrix", "table", "vector", "bound", "experts", "ordering"]
"""What a weight is for, which decides how it may be stored: a `matrix` [rows, columns] multiplies activations,
a `table` [rows, columns] is looked up by row (a tied head multiplies by it too), `experts` [experts, rows,
columns] is a stack of matrices, a `vector` (norm weights, scalars, biases, small kernels) is always kept in f32, and so
is a `bound`, a few scalars of the checkpoint that say what activations are kept within. An `ordering` [n] holds the
numbers 0 … n - 1, each once, as i32."""

Attr = int | float | str | bool | None | tuple[int, ...]

CACHE = "cache"
"""The dtype of a value that stands for a layer's key/value cache rather than for a tensor."""


@dataclass(frozen=True)
class Value:
    """The result of a node, or an input of the graph.

    shape may hold symbolic sizes; dtype is `f32`, `i32` (token ids, positions, expert ids) or `cache`.
    """

    name: str
    shape: Shape
    dtype: str = "f32"


@dataclass(frozen=True)
class Weight:
    """A tensor of the checkpoint, or several of them stacked along their first axis.

    name: the name within gemtab, e.g. `layers.3.attention.qkv`.
    sources: names in the checkpoint (without the model's prefix), in stacking order.
    parts: rows of each source.
    source_bits: of the codes that the checkpoint was trained with and that stand for each source's values; none where
    they are plain.
    groups: how many scales such codes have a row.
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
        """Of the codes of the whole, to which those of fewer bits are widened; None where values are plain."""
        return max(self.source_bits, default=None)


@dataclass(frozen=True)
class Node:
    """One application of an op. `label` is the place in the model, e.g. `layers.3.attention`."""

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

    `outputs` may name cache values: a graph whose only outputs are caches is one that fills them.
    """

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: dict[str, Value]

    def weights(self) -> list[Weight]:
        """Every weight once, in the order of first use."""
        seen: dict[str, Weight] = {}
        for node in self.nodes:
            for item in node.inputs:
                if isinstance(item, Weight):
                    seen.setdefault(item.name, item)
        return list(seen.values())

    def needed_for(self, outputs: dict[str, Value], name: str) -> "Graph":
        """The part of the graph that `outputs` depend on, as a graph of its own called `name`."""
        wanted = {value.name for value in outputs.values()}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if any(out.name in wanted for out in node.outputs):
                kept.append(node)
                wanted.update(item.name for item in node.inputs if isinstance(item, Value))
        inputs = tuple(value for value in self.inputs if value.name in wanted)
        return Graph(name, inputs, tuple(reversed(kept)), outputs)
