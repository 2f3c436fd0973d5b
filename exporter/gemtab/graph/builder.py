"""The op set as a builder: one method per op, with the op's shape rule.

`T` is the number of tokens in this step; in a tower, the number of soft tokens. A size `9T` is nine per token. Shapes
have no batch axis: a browser tab runs one conversation.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gemtab.errors import CheckpointError
from gemtab.graph.ir import CACHE, Attr, Dim, Graph, Node, Role, Shape, Value, Weight, known


def element_count(shape: Shape) -> tuple[int, tuple[str, ...]]:
    """Return the product of the known sizes, and the symbolic sizes sorted by name."""
    known, symbols = 1, []
    for dim in shape:
        if isinstance(dim, int):
            known *= dim
        else:
            symbols.append(dim)
    return known, tuple(sorted(symbols))


class GraphBuilder:
    """Builds a graph. Each op's method appends a node and returns the node's output.

    bits: called with a source and whether the source is a table; returns the bits of its integer weights, None for
    floats.
    """

    def __init__(self, name: str, bits: Callable[[str, bool], int | None] | None = None) -> None:
        self._name = name
        self._bits = bits
        self._inputs: list[Value] = []
        self._nodes: list[Node] = []
        self._labels: list[str] = []
        self._count = 0

    @contextmanager
    def at(self, label: str) -> Iterator[None]:
        """Label the nodes made inside with their location in the model. Nested labels are joined by dots."""
        self._labels.append(label)
        yield
        self._labels.pop()

    def input(self, name: str, shape: Shape, dtype: str = "f32") -> Value:
        """Add an input to the graph."""
        value = Value(name, shape, dtype)
        self._inputs.append(value)
        return value

    def weight(
        self,
        name: str,
        shape: tuple[int, ...],
        role: Role,
        *sources: str,
        parts: tuple[int, ...] | None = None,
        groups: int = 1,
    ) -> Weight:
        """Return a weight: `sources` stacked along the first axis, or the source `name` if none is given.

        parts: rows of each source, by default equal. groups: scales per row of integer weights. Integer weights of
        different bits are stored with the most bits among them. Raises CheckpointError if only some sources are
        integers.
        """
        sources = sources or (name,)
        parts = parts or (shape[0] // len(sources),) * len(sources)
        bits = self._source_bits(sources, role)
        return Weight(name, shape, role, sources, parts, bits, groups if bits else 1)

    def _source_bits(self, sources: tuple[str, ...], role: Role) -> tuple[int, ...]:
        if self._bits is None or role not in ("matrix", "table"):
            return ()
        found = [self._bits(source, role == "table") for source in sources]
        bits = tuple(each for each in found if each is not None)
        if len(bits) not in (0, len(sources)):
            listed = ", ".join(f"{source} {each or 'float'}" for source, each in zip(sources, found, strict=True))
            raise CheckpointError(
                f"Of the matrices that are multiplied together, only some have integer weights: {listed} (bits by "
                "quantization_config). gemtab reads checkpoints in which all or none of them have."
            )
        return bits

    def finish(self, **outputs: Value) -> Graph:
        """Return the graph of the nodes that `outputs` depend on."""
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

    def replace_ids(self, ids: Value, replaced: tuple[int, ...], replacement: int) -> Value:
        """ids [T] i32, with `replacement` for every id in `replaced`."""
        attrs: dict[str, Attr] = {"replaced": replaced, "replacement": replacement}
        return self._add("replace_ids", (ids,), (ids.shape, "i32"), **attrs)[0]

    def embed(self, ids: Value, table: Weight, scale: float, columns: int | None = None) -> Value:
        """table[ids, :columns] * scale, for ids [T] and a table [vocabulary, width]: [T, columns]."""
        columns = columns or table.shape[1]
        return self._one("embed", (ids, table), (*ids.shape, columns), scale=scale, columns=columns)

    def insert_rows(self, x: Value, ids: Value, rows: Value, placeholders: tuple[int, ...]) -> Value:
        """rows[t] if ids[t] is one of `placeholders`, else x[t]: x and rows [T, width], ids [T] -> [T, width]."""
        assert rows.shape == x.shape
        return self._one("insert_rows", (x, ids, rows), x.shape, placeholders=placeholders)

    def block_ends(self, blocks: Value, positions: Value) -> Value:
        """The last position that each token sees, [T] i32.

        blocks [T] i32 is the number of a token's image within this step, or -1. Tokens of one image see each other, so
        theirs is the largest of their positions [T]. Other tokens see up to their own position.
        """
        return self._add("block_ends", (blocks, positions), (positions.shape, "i32"))[0]

    def keep_last(self, x: Value, count: Value) -> Value:
        """The last `count` rows of x [T, width], all rows if count is 0: [kept, width]. count: an i32 scalar."""
        return self._one("keep_last", (x, count), ("kept", *x.shape[1:]))

    # --- arithmetic -------------------------------------------------------------------------------------

    def linear(self, x: Value, weight: Weight, rows: int | None = None) -> Value:
        """x @ weight[:rows].T, for x [..., columns] and a weight [rows, columns]: [..., rows].

        A matrix with integer weights was trained with rounded activations. Each of its sources has a scale for x and a
        scale for the product: v becomes clamp(round(v / scale), -128, 127) * scale, halves to even; v stays if scale is
        0.
        """
        rows = rows or weight.shape[0]
        assert x.shape[-1] == weight.shape[1], f"{weight.name}: {x.shape} x {weight.shape}"
        ranges = tuple(self._range(weight, side) for side in ("input", "output")) if weight.bits else ()
        return self._one("linear", (x, weight, *ranges), (*x.shape[:-1], rows), rows=rows)

    def _range(self, weight: Weight, side: str) -> Weight:
        """Return the scales of a matrix's activations on one side (input or output), one per source."""
        sources = tuple(f"{source.removesuffix('weight')}{side}_activation_scale" for source in weight.sources)
        return Weight(f"{weight.name}.{side}_scale", (len(sources),), "bound", sources, (1,) * len(sources))

    def rms_norm(self, x: Value, weight: Weight | None, eps: float) -> Value:
        """x / sqrt(mean(x^2) + eps) over the last axis, times weight if there is one. Shape of x."""
        return self._one("rms_norm", (x,) if weight is None else (x, weight), x.shape, eps=eps)

    def add(self, x: Value, y: Value) -> Value:
        """x + y, which have equal shapes."""
        assert x.shape == y.shape, f"add: {x.shape} and {y.shape}"
        return self._one("add", (x, y), x.shape)

    def mul(self, x: Value, y: Value | Weight) -> Value:
        """x * y; y has x's shape, or is a weight of x's last size or of size 1."""
        assert y.shape in (x.shape, x.shape[-1:], (1,)), f"mul: {x.shape} and {y.shape}"
        return self._one("mul", (x, y), x.shape)

    def scale(self, x: Value, factor: float) -> Value:
        """x * factor."""
        return self._one("scale", (x,), x.shape, factor=factor)

    def affine(self, x: Value, factor: float, offset: float) -> Value:
        """x * factor + offset."""
        return self._one("affine", (x,), x.shape, factor=factor, offset=offset)

    def add_vector(self, x: Value, vector: Weight) -> Value:
        """x + vector [last size of x], a bias."""
        assert vector.shape == x.shape[-1:], f"add_vector: {x.shape} and {vector.shape}"
        return self._one("add_vector", (x, vector), x.shape)

    def standardise(self, x: Value, mean: Weight, factor: Weight) -> Value:
        """(x - mean) * factor, both vectors of x's last size."""
        assert mean.shape == factor.shape == x.shape[-1:], f"standardise: {x.shape} and {mean.shape}"
        return self._one("standardise", (x, mean, factor), x.shape)

    def clamp(self, x: Value, bound: float) -> Value:
        """max(-bound, min(x, bound))."""
        return self._one("clamp", (x,), x.shape, bound=bound)

    def clip(self, x: Value, low: Weight, high: Weight) -> Value:
        """max(low, min(x, high)). low and high [1] come from the checkpoint and may be infinite."""
        return self._one("clip", (x, low, high), x.shape)

    def layer_norm(self, x: Value, weight: Weight, bias: Weight | None, eps: float) -> Value:
        """(x - mean) / sqrt(variance + eps) * weight + bias over the last axis; bias is 0 if None."""
        inputs = (x, weight) if bias is None else (x, weight, bias)
        return self._one("layer_norm", inputs, x.shape, eps=eps)

    def relu(self, x: Value) -> Value:
        """max(x, 0)."""
        return self._one("relu", (x,), x.shape)

    def silu(self, x: Value) -> Value:
        """x * sigmoid(x)."""
        return self._one("silu", (x,), x.shape)

    def sigmoid_glu(self, x: Value) -> Value:
        """first half of the last axis * sigmoid(second half): [..., 2n] -> [..., n]."""
        return self._one("sigmoid_glu", (x,), (*x.shape[:-1], known(x.shape[-1]) // 2))

    def gelu_tanh(self, x: Value) -> Value:
        """gelu(x) in its tanh approximation."""
        return self._one("gelu_tanh", (x,), x.shape)

    def glu(self, x: Value) -> Value:
        """gelu_tanh(first half of the last axis) * second half: [..., 2n] -> [..., n]."""
        width = x.shape[-1]
        assert isinstance(width, int) and width % 2 == 0
        return self._one("glu", (x,), (*x.shape[:-1], width // 2))

    def softcap(self, x: Value, cap: float) -> Value:
        """cap * tanh(x / cap)."""
        return self._one("softcap", (x,), x.shape, cap=cap)

    # --- views ------------------------------------------------------------------------------------------

    def slice(self, x: Value, start: int, stop: int) -> Value:
        """x[..., start:stop]."""
        return self._one("slice", (x,), (*x.shape[:-1], stop - start), start=start, stop=stop)

    def reshape(self, x: Value, *shape: Dim) -> Value:
        """x with the same elements in another shape."""
        assert element_count(x.shape) == element_count(shape), f"reshape: {x.shape} to {shape}"
        return self._one("reshape", (x,), shape)

    def pick(self, x: Value, index: int) -> Value:
        """x[:, index]: [T, n, width] -> [T, width]."""
        return self._one("pick", (x,), (x.shape[0], *x.shape[2:]), index=index)

    # --- attention --------------------------------------------------------------------------------------

    def rope(self, x: Value, positions: Value, theta: float, rotated_pairs: int, factor: float = 1.0) -> Value:
        """Rotary embedding of x [T, heads, size] at positions [T].

        For i < rotated_pairs, the pair (x[i], x[i + size/2]) is rotated by position / factor * theta^(-2i/size). Other
        pairs stay.
        """
        attrs: dict[str, Attr] = {"theta": theta, "rotated_pairs": rotated_pairs, "factor": factor}
        return self._one("rope", (x, positions), x.shape, **attrs)

    def kv_write(self, k: Value, v: Value, cache: str, window: int | None) -> Value:
        """Append k and v [T, kv_heads, size] to the cache named `cache`.

        window: the most positions that a reader sees, its own included; None for all.
        """
        assert k.shape == v.shape
        shape: Shape = ("P+T", *k.shape[1:])
        return self._add("kv_write", (k, v), (shape, CACHE), cache=cache, window=window)[0]

    def attention(
        self,
        q: Value,
        cache: Value,
        positions: Value,
        scale: float,
        window: int | None,
        visible: Value | None = None,
    ) -> Value:
        """Causal attention of q [T, heads, size] over a cache: [T, heads, size]. heads / kv_heads heads share a KV
        head.

        A token at position p sees positions p - window + 1 … p, or 0 … p without a window. With `visible` [T] i32,
        token t sees up to visible[t] instead of p.
        """
        assert cache.dtype == CACHE and cache.shape[-1] == q.shape[-1]
        inputs = (q, cache, positions) if visible is None else (q, cache, positions, visible)
        return self._one("attention", inputs, q.shape, scale=scale, window=window)

    # --- towers -----------------------------------------------------------------------------------------

    def embed_positions(self, positions: Value, table: Weight, position_step: int, axis_step: int) -> Value:
        """table[px * position_step] + table[py * position_step + axis_step], (px, py) = positions[n]: [N, width].

        positions: [N, 2] i32; table: [rows, width].
        """
        shape: Shape = (positions.shape[0], table.shape[1])
        return self._one("embed_positions", (positions, table), shape, position_step=position_step, axis_step=axis_step)

    def axial_rope(self, x: Value, positions: Value, theta: float) -> Value:
        """Rotary embedding of x [N, heads, size] in two dimensions.

        `rope` rotates the first half of each head by the x of positions [N, 2], the second half by the y, each as a
        head of size / 2.
        """
        assert known(x.shape[-1]) % 4 == 0, f"axial_rope: head size {x.shape[-1]}"
        return self._one("axial_rope", (x, positions), x.shape, theta=theta)

    def full_attention(self, q: Value, k: Value, v: Value, scale: float) -> Value:
        """Attention of every row over all rows: q [N, heads, size], k and v [N, kv_heads, size] -> [N, heads, size]."""
        assert k.shape == v.shape and k.shape[-1] == q.shape[-1]
        return self._one("full_attention", (q, k, v), q.shape, scale=scale)

    def pool(self, x: Value, positions: Value, side: int, rows: Dim) -> Value:
        """The mean of each cell's side * side patches: x [N, width] at positions [N, 2] -> [rows, width].

        The patches fill a rectangle whose sides are multiples of `side`. Cells are in order row by row.
        """
        return self._one("pool", (x, positions), (rows, x.shape[1]), side=side)

    def subsample(self, x: Value, weight: Weight, rows: Dim) -> Value:
        """Convolution in time and frequency, 3 by 3, with stride 2 and padding 1.

        x: [frames, bins, channels in]; weight: [channels out, channels in, 3 (time), 3 (frequency)]. Returns
        [rows = ceil(frames / 2), ceil(bins / 2), channels out].
        """
        bins = -(-known(x.shape[1]) // 2)
        assert x.shape[2] == weight.shape[1], f"{weight.name}: {x.shape} and {weight.shape}"
        return self._one("subsample", (x, weight), (rows, bins, weight.shape[0]))

    def causal_depthwise(self, x: Value, weight: Weight) -> Value:
        """Convolution of each channel over row t and the size - 1 rows before it, zeros before the first row.

        x: [T, channels]; weight: [channels, 1, size]. Returns [T, channels].
        """
        assert x.shape[1] == weight.shape[0], f"{weight.name}: {x.shape} and {weight.shape}"
        return self._one("causal_depthwise", (x, weight), x.shape)

    def sinusoids(self, count: int, width: int) -> Value:
        """Encodings [count, width] of the distances 0 … count - 1.

        The first half of a row is sin(distance / timescale), the second half the cosines. Timescales go from 1 to
        10,000 in geometric steps.
        """
        return self._one("sinusoids", (), (count, width))

    def local_attention(
        self,
        q: Value,
        k: Value,
        v: Value,
        relative: Value,
        dim_scale: Weight,
        *,
        window: int,
        scale: float,
        key_scale: float,
        cap: float,
    ) -> Value:
        """Attention of each row over itself and the window - 1 rows before it: [T, heads, size].

        q, k, v: [T, heads, size]; relative: [distances, heads * size]; dim_scale: [size]. The score of the row at
        distance d is cap * tanh(q' . (key_scale * k + relative[d]) / cap), with q' = scale * softplus(dim_scale) * q.
        """
        assert q.shape == k.shape == v.shape and window <= known(relative.shape[0])
        attrs: dict[str, Attr] = {"window": window, "scale": scale, "key_scale": key_scale, "cap": cap}
        return self._one("local_attention", (q, k, v, relative, dim_scale), q.shape, **attrs)

    # --- centroids --------------------------------------------------------------------------------------

    def top_k(self, scores: Value, k: int) -> Value:
        """The indices of the k largest of scores [T, n], the largest first: [T, k] i32."""
        return self._add("top_k", (scores,), ((scores.shape[0], k), "i32"), k=k)[0]

    def members(self, groups: Value, ordering: Weight, size: int) -> Value:
        """The members of groups [T, k] i32: [T, k * size] i32.

        ordering: [groups * size]. Group g has the members ordering[g * size : (g + 1) * size].
        """
        assert ordering.role == "ordering" and ordering.shape[0] % size == 0
        shape: Shape = (groups.shape[0], known(groups.shape[1]) * size)
        return self._add("members", (groups, ordering), (shape, "i32"), size=size)[0]

    def linear_rows(self, x: Value, ids: Value, weight: Weight) -> Value:
        """x[t] . weight[ids[t, i]], for x [T, columns], ids [T, n] i32 and a weight [rows, columns]: [T, n]."""
        assert x.shape[-1] == weight.shape[1] and not weight.bits, f"{weight.name}: {x.shape} x {weight.shape}"
        return self._one("linear_rows", (x, ids, weight), ids.shape)

    def scatter(self, scores: Value, ids: Value, size: int) -> Value:
        """[T, size], with scores [T, n] at the indices ids [T, n] i32, and min(scores[t]) - 1 at all others.

        The ids of a token are distinct.
        """
        assert scores.shape == ids.shape
        return self._one("scatter", (scores, ids), (scores.shape[0], size), size=size)

    # --- experts ----------------------------------------------------------------------------------------

    def route_top_k(self, scores: Value, expert_scale: Weight, k: int) -> tuple[Value, Value]:
        """Softmax of scores [T, experts], the k largest renormalised to sum 1, times expert_scale [experts].

        Returns the weights [T, k] f32 and the experts' ids [T, k] i32, the largest score first.
        """
        shape: Shape = (scores.shape[0], k)
        weights, ids = self._add("route_top_k", (scores, expert_scale), (shape, "f32"), (shape, "i32"), k=k)
        return weights, ids

    def expert_linear(self, x: Value, ids: Value, weight: Weight) -> Value:
        """weight[ids[t, i]] @ x[t], or @ x[t, i]: [T, k, rows].

        x: [T, columns] or [T, k, columns]; ids: [T, k]; weight: [experts, rows, columns].
        """
        return self._one("expert_linear", (x, ids, weight), (*ids.shape, weight.shape[1]))

    def weighted_sum(self, x: Value, weights: Value) -> Value:
        """The sum over i of weights[t, i] * x[t, i], for x [T, k, width] and weights [T, k]: [T, width]."""
        return self._one("weighted_sum", (x, weights), (x.shape[0], x.shape[2]))
