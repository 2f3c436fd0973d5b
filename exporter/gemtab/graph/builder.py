"""The op set as a builder: one method an op, each with its shape rule.

`T` is the number of tokens in this step. Shapes carry no batch: a browser tab has one conversation.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from gemtab.graph.ir import CACHE, Attr, Dim, Graph, Node, Role, Shape, Value, Weight


def element_count(shape: Shape) -> tuple[int, tuple[str, ...]]:
    """The product of the known sizes, and the symbolic ones in order of name."""
    known, symbols = 1, []
    for dim in shape:
        if isinstance(dim, int):
            known *= dim
        else:
            symbols.append(dim)
    return known, tuple(sorted(symbols))


class GraphBuilder:
    """Appends nodes; every method returns the value that the node makes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inputs: list[Value] = []
        self._nodes: list[Node] = []
        self._labels: list[str] = []
        self._count = 0

    @contextmanager
    def at(self, label: str) -> Iterator[None]:
        """Label the nodes made inside with their place in the model; labels nest with dots."""
        self._labels.append(label)
        yield
        self._labels.pop()

    def input(self, name: str, shape: Shape, dtype: str = "f32") -> Value:
        """An input of the graph."""
        value = Value(name, shape, dtype)
        self._inputs.append(value)
        return value

    def weight(self, name: str, shape: tuple[int, ...], role: Role, *sources: str) -> Weight:
        """A tensor of the checkpoint: `sources` stacked along the first axis (`name` itself if none is given)."""
        return Weight(name, shape, role, sources or (name,))

    def finish(self, **outputs: Value) -> Graph:
        """The graph of all nodes so far that `outputs` need."""
        whole = Graph(self._name, tuple(self._inputs), tuple(self._nodes), outputs)
        return whole.needed_for(outputs, self._name)

    def _add(
        self, op: str, inputs: tuple[Value | Weight, ...], *outputs: tuple[Shape, str], **attrs: Attr
    ) -> tuple[Value, ...]:
        self._count += 1
        values = tuple(
            Value(f"{op}.{self._count}" if i == 0 else f"{op}.{self._count}.{i}", shape, dtype)
            for i, (shape, dtype) in enumerate(outputs)
        )
        self._nodes.append(Node(op, inputs, values, attrs, ".".join(self._labels)))
        return values

    def _one(self, op: str, inputs: tuple[Value | Weight, ...], shape: Shape, **attrs: Attr) -> Value:
        return self._add(op, inputs, (shape, "f32"), **attrs)[0]

    # --- tokens -----------------------------------------------------------------------------------------

    def replace_ids(self, ids: Value, replaced: tuple[int, ...], by: int) -> Value:
        """ids [T] i32, with every id in `replaced` exchanged for `by`."""
        return self._add("replace_ids", (ids,), (ids.shape, "i32"), replaced=replaced, by=by)[0]

    def embed(self, ids: Value, table: Weight, scale: float, columns: int | None = None) -> Value:
        """Rows of `table` [vocabulary, width] times `scale`: [T, columns], the first `columns` of the width."""
        columns = columns or table.shape[1]
        return self._one("embed", (ids, table), (*ids.shape, columns), scale=scale, columns=columns)

    def keep_last(self, x: Value, count: Value) -> Value:
        """The last `count` (i32 scalar input) rows of x [T, width]; all of them where count is 0."""
        return self._one("keep_last", (x, count), ("kept", *x.shape[1:]))

    # --- arithmetic -------------------------------------------------------------------------------------

    def linear(self, x: Value, weight: Weight, rows: int | None = None) -> Value:
        """x [..., columns] times the first `rows` rows of weight [rows, columns], transposed: [..., rows]."""
        rows = rows or weight.shape[0]
        assert x.shape[-1] == weight.shape[1], f"{weight.name}: {x.shape} x {weight.shape}"
        return self._one("linear", (x, weight), (*x.shape[:-1], rows), rows=rows)

    def rms_norm(self, x: Value, weight: Weight | None, eps: float) -> Value:
        """x / sqrt(mean(x^2) + eps) over the last axis, times weight where there is one. Shape of x."""
        return self._one("rms_norm", (x,) if weight is None else (x, weight), x.shape, eps=eps)

    def add(self, x: Value, y: Value) -> Value:
        """x + y, of equal shapes."""
        assert x.shape == y.shape, f"add: {x.shape} and {y.shape}"
        return self._one("add", (x, y), x.shape)

    def mul(self, x: Value, y: Value | Weight) -> Value:
        """x * y; y has x's shape, or is a weight of x's last size or of size 1."""
        assert y.shape in (x.shape, x.shape[-1:], (1,)), f"mul: {x.shape} and {y.shape}"
        return self._one("mul", (x, y), x.shape)

    def scale(self, x: Value, factor: float) -> Value:
        """x * factor."""
        return self._one("scale", (x,), x.shape, factor=factor)

    def gelu_tanh(self, x: Value) -> Value:
        """The tanh approximation of gelu, elementwise."""
        return self._one("gelu_tanh", (x,), x.shape)

    def glu(self, x: Value) -> Value:
        """gelu_tanh(first half of the last axis) * second half: [..., 2n] -> [..., n]."""
        width = x.shape[-1]
        assert isinstance(width, int) and width % 2 == 0
        return self._one("glu", (x,), (*x.shape[:-1], width // 2))

    def softcap(self, x: Value, cap: float) -> Value:
        """cap * tanh(x / cap), elementwise."""
        return self._one("softcap", (x,), x.shape, cap=cap)

    # --- views ------------------------------------------------------------------------------------------

    def slice(self, x: Value, start: int, stop: int) -> Value:
        """x[..., start:stop]."""
        return self._one("slice", (x,), (*x.shape[:-1], stop - start), start=start, stop=stop)

    def reshape(self, x: Value, *shape: Dim) -> Value:
        """The same elements in another shape."""
        assert element_count(x.shape) == element_count(shape), f"reshape: {x.shape} to {shape}"
        return self._one("reshape", (x,), shape)

    def pick(self, x: Value, index: int) -> Value:
        """x[:, index]: [T, n, width] -> [T, width]."""
        return self._one("pick", (x,), (x.shape[0], *x.shape[2:]), index=index)

    # --- attention --------------------------------------------------------------------------------------

    def rope(self, x: Value, positions: Value, theta: float, rotated_pairs: int) -> Value:
        """Rotary embedding of x [T, heads, size] at positions [T].

        Elements i and i + size/2 are turned by position * theta^(-2i/size) for i < rotated_pairs; the rest stay.
        """
        return self._one("rope", (x, positions), x.shape, theta=theta, rotated_pairs=rotated_pairs)

    def kv_write(self, k: Value, v: Value, cache: str, window: int | None) -> Value:
        """Append k and v [T, kv_heads, size] to the cache named `cache`.

        window: no reader looks further back than this many positions (its own included); None for all.
        """
        assert k.shape == v.shape
        shape: Shape = ("P+T", *k.shape[1:])
        return self._add("kv_write", (k, v), (shape, CACHE), cache=cache, window=window)[0]

    def attention(self, q: Value, cache: Value, positions: Value, scale: float, window: int | None) -> Value:
        """Causal attention of q [T, heads, size] over a cache with kv_heads (heads / kv_heads share one).

        A token at position p sees positions p - window + 1 … p, or 0 … p without a window. [T, heads, size].
        """
        assert cache.dtype == CACHE and cache.shape[-1] == q.shape[-1]
        return self._one("attention", (q, cache, positions), q.shape, scale=scale, window=window)

    # --- experts ----------------------------------------------------------------------------------------

    def route_top_k(self, scores: Value, expert_scale: Weight, k: int) -> tuple[Value, Value]:
        """Softmax of scores [T, experts], the k largest renormalised to sum 1, times expert_scale [experts].

        Returns the weights [T, k] f32 and the experts' ids [T, k] i32, largest first.
        """
        shape: Shape = (scores.shape[0], k)
        weights, ids = self._add("route_top_k", (scores, expert_scale), (shape, "f32"), (shape, "i32"), k=k)
        return weights, ids

    def expert_linear(self, x: Value, ids: Value, weight: Weight) -> Value:
        """Each chosen expert's matrix: x [T, columns] or [T, k, columns], ids [T, k], weight [experts, rows,
        columns] -> [T, k, rows]."""
        return self._one("expert_linear", (x, ids, weight), (*ids.shape, weight.shape[1]))

    def weighted_sum(self, x: Value, weights: Value) -> Value:
        """Sum over k of x [T, k, width] times weights [T, k]: [T, width]."""
        return self._one("weighted_sum", (x, weights), (x.shape[0], x.shape[2]))
