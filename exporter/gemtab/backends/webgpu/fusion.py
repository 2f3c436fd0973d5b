"""Fusion: turns the nodes of a graph into steps. This is the part that text stacks and towers share.

Each node begins a step or becomes a part of another node's step. A node that fits no pattern is rejected with an error
that names the op.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gemtab.backends.webgpu.steps import Step
from gemtab.errors import CheckpointError
from gemtab.graph import Graph, Node, Value, Weight

Handler = Callable[[Node], None]

VECTOR = 4
"""Elements that kernels read at a time."""


@dataclass(frozen=True)
class FusedGraph:
    """A graph and its steps in execution order. All programs of the graph are lowered from the same steps."""

    graph: Graph
    steps: tuple[Step, ...]


class Fusion:
    """Makes the steps of a graph. A subclass has handlers by op, which append to `_steps`."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._steps: list[Step] = []
        self._absorbed: set[int] = set()
        self._alias: dict[str, Value] = {}
        self._producer = {out.name: node for node in graph.nodes for out in node.outputs}
        self._consumers: dict[str, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            for item in node.inputs:
                if isinstance(item, Value):
                    self._consumers[item.name].append(node)

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handler of each op."""
        raise NotImplementedError

    def run(self) -> FusedGraph:
        """Return the graph with its steps. Raises CheckpointError for an op without a kernel, and for a matrix whose
        rows kernels cannot read."""
        for weight in self._graph.weights():
            _check_rows(weight)
        handlers = self.handlers()
        for node in self._graph.nodes:
            if id(node) in self._absorbed:
                continue
            handler = handlers.get(node.op)
            if handler is None:
                raise unsupported(node)
            handler(node)
        return FusedGraph(self._graph, tuple(self._steps))

    def _resolve(self, value: Value) -> Value:
        """Return the value in whose buffer `value` is: another one after a reshape or an op in place."""
        return self._alias.get(value.name, value)

    def _only_consumer(self, value: Value, op: str) -> Node | None:
        """Return the only node that reads `value` if its op is `op`, else None."""
        consumers = self._consumers[value.name]
        return consumers[0] if len(consumers) == 1 and consumers[0].op == op else None

    def _absorb(self, *nodes: Node) -> None:
        self._absorbed.update(id(node) for node in nodes)

    def _read_by_consumer(self, node: Node) -> None:
        """Leave the node to the step that consumes it."""

    def _reshape(self, node: Node) -> None:
        self._alias[node.output.name] = self._resolve(node.value(0))


def _check_rows(weight: Weight) -> None:
    """Raise CheckpointError for a matrix whose number of columns is no multiple of VECTOR."""
    columns = weight.shape[-1]
    if weight.role in ("matrix", "table", "experts") and columns % VECTOR:
        raise CheckpointError(
            f"{weight.name} has rows of {columns} numbers; expected a multiple of {VECTOR}, as many as WebGPU's "
            "kernels read at a time."
        )


def ranges(linear: Node) -> tuple[Weight, Weight] | None:
    """Return the scales of a linear's input and output activations; None for a linear without scales."""
    return (linear.weight(2), linear.weight(3)) if len(linear.inputs) > 2 else None


def unsupported(node: Node) -> CheckpointError:
    """Return the error for a node that fits no pattern."""
    return CheckpointError(
        f"The op {node.op} at {node.label} has no WebGPU kernel in this context: this model cannot be "
        "compiled for a browser tab by this version of gemtab."
    )
