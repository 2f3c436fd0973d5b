"""The op set as a builder: one method an op, each with its shape rule.

`T` is the number of tokens in this step, in a tower of soft tokens; a size like `9T` is nine a token. Shapes carry no
batch: a browser tab has one conversation.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gemtab.errors import CheckpointError
from gemtab.graph.ir import CACHE, Attr, Dim, Graph, Node, Role, Shape, Value, Weight, known


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
    """Appends nodes; every method returns the value that the node makes.

    bits: gives the bits of a source that the checkpoint has as codes, told whether it is a table; None where plain.
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
        """Label the nodes made inside with their place in the model; labels nest with dots."""
        self._labels.append(label)
        yield
        self._labels.pop()

    def input(self, name: str, shape: Shape, dtype: str = "f32") -> Value:
        """An input of the graph."""
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
        """A tensor of the checkpoint: `sources` stacked along the first axis (`name` itself if none is given).

        parts: rows of each source, by default as many of all; groups: scales a row, where there are codes.
        Codes of sources that differ in their bits are widened to the most.
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
            listed = ", ".join(f"{source} {each or 'plain'}" for source, each in zip(sources, found, strict=True))
            raise CheckpointError(
                f"Matrices that are multiplied together are codes in part: {listed} (bits by quantization_config). "
                "gemtab reads checkpoints in which all or none of them are."
            )
        return bits

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

    def insert_rows(self, x: Value, ids: Value, rows: Value, placeholders: tuple[int, ...]) -> Value:
        """x [T, width], with row t of `rows` [T, width] in the place of row t wherever the token's id (ids [T]) is one
        of `placeholders`."""
        assert rows.shape == x.shape
        return self._one("insert_rows", (x, ids, rows), x.shape, placeholders=placeholders)

    def block_ends(self, blocks: Value, positions: Value) -> Value:
        """The last position that each token sees: blocks [T] i32 numbers the pictures of this step, whose tokens see
        each other, and is -1 for other tokens, which see up to their own of positions [T]. [T] i32."""
        return self._add("block_ends", (blocks, positions), (positions.shape, "i32"))[0]

    def keep_last(self, x: Value, count: Value) -> Value:
        """The last `count` (i32 scalar input) rows of x [T, width]; all of them where count is 0."""
        return self._one("keep_last", (x, count), ("kept", *x.shape[1:]))

    # --- arithmetic -------------------------------------------------------------------------------------

    def linear(self, x: Value, weight: Weight, rows: int | None = None) -> Value:
        """x [..., columns] times the first `rows` rows of weight [rows, columns], transposed: [..., rows].

        A matrix of codes was trained with activations that are rounded on both of its sides: with each of its sources
        goes a scale for x and one for the product, and v becomes clamp(round(v / scale), -128, 127) * scale, halves to
        even, or stays as it is where the scale is 0.
        """
        rows = rows or weight.shape[0]
        assert x.shape[-1] == weight.shape[1], f"{weight.name}: {x.shape} x {weight.shape}"
        ranges = tuple(self._range(weight, side) for side in ("input", "output")) if weight.bits else ()
        return self._one("linear", (x, weight, *ranges), (*x.shape[:-1], rows), rows=rows)

    def _range(self, weight: Weight, side: str) -> Weight:
        """The scales of a matrix's activations on one side, one a source."""
        sources = tuple(f"{source.removesuffix('weight')}{side}_activation_scale" for source in weight.sources)
        return Weight(f"{weight.name}.{side}_scale", (len(sources),), "bound", sources, (1,) * len(sources))

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
        """x kept within -bound … bound."""
        return self._one("clamp", (x,), x.shape, bound=bound)

    def clip(self, x: Value, low: Weight, high: Weight) -> Value:
        """x kept within low … high, scalars [1] of the checkpoint that may be infinite."""
        return self._one("clip", (x, low, high), x.shape)

    def layer_norm(self, x: Value, weight: Weight, bias: Weight | None, eps: float) -> Value:
        """(x - mean) / sqrt(variance + eps) over the last axis, times weight, plus bias where there is one."""
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

    def rope(self, x: Value, positions: Value, theta: float, rotated_pairs: int, factor: float = 1.0) -> Value:
        """Rotary embedding of x [T, heads, size] at positions [T].

        Elements i and i + size/2 are turned by position / factor * theta^(-2i/size) for i < rotated_pairs; the rest
        stay.
        """
        attrs: dict[str, Attr] = {"theta": theta, "rotated_pairs": rotated_pairs, "factor": factor}
        return self._one("rope", (x, positions), x.shape, **attrs)

    def kv_write(self, k: Value, v: Value, cache: str, window: int | None) -> Value:
        """Append k and v [T, kv_heads, size] to the cache named `cache`.

        window: no reader looks further back than this many positions (its own included); None for all.
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
        """Causal attention of q [T, heads, size] over a cache with kv_heads (heads / kv_heads share one).

        A token at position p sees positions p - window + 1 … p, or 0 … p without a window; where `visible` [T] i32 is
        given, up to that position instead of its own. [T, heads, size].
        """
        assert cache.dtype == CACHE and cache.shape[-1] == q.shape[-1]
        inputs = (q, cache, positions) if visible is None else (q, cache, positions, visible)
        return self._one("attention", inputs, q.shape, scale=scale, window=window)

    # --- towers -----------------------------------------------------------------------------------------

    def embed_positions(self, positions: Value, table: Weight, position_step: int, axis_step: int) -> Value:
        """The sum over both axes of rows of a table: positions [N, 2] (x, y) i32, table [rows, width] -> [N, width].

        The row of position p on axis a (0 for x, 1 for y) is p * position_step + a * axis_step.
        """
        shape: Shape = (positions.shape[0], table.shape[1])
        return self._one("embed_positions", (positions, table), shape, position_step=position_step, axis_step=axis_step)

    def axial_rope(self, x: Value, positions: Value, theta: float) -> Value:
        """Rotary embedding in two dimensions: the first half of each head of x [N, heads, size] turns with the x of
        positions [N, 2], the second half with the y, each half as `rope` turns a head of its size."""
        assert known(x.shape[-1]) % 4 == 0, f"axial_rope: head size {x.shape[-1]}"
        return self._one("axial_rope", (x, positions), x.shape, theta=theta)

    def full_attention(self, q: Value, k: Value, v: Value, scale: float) -> Value:
        """Every row sees every other: q [N, heads, size], k and v [N, kv_heads, size] -> [N, heads, size]."""
        assert k.shape == v.shape and k.shape[-1] == q.shape[-1]
        return self._one("full_attention", (q, k, v), q.shape, scale=scale)

    def pool(self, x: Value, positions: Value, side: int, rows: Dim) -> Value:
        """Means of the side * side patches of each cell: x [N, width] at positions [N, 2] -> [rows, width], cells row
        by row. The patches fill a rectangle whose sides are multiples of `side`."""
        return self._one("pool", (x, positions), (rows, x.shape[1]), side=side)

    def subsample(self, x: Value, weight: Weight, rows: Dim) -> Value:
        """Convolution in time and frequency, 3 by 3, stride 2, padded by 1: x [frames, bins, channels in], weight
        [channels out, channels in, 3 (time), 3 (frequency)] -> [rows = ceil(frames / 2), ceil(bins / 2), channels
        out]."""
        bins = -(-known(x.shape[1]) // 2)
        assert x.shape[2] == weight.shape[1], f"{weight.name}: {x.shape} and {weight.shape}"
        return self._one("subsample", (x, weight), (rows, bins, weight.shape[0]))

    def causal_depthwise(self, x: Value, weight: Weight) -> Value:
        """Each channel's own convolution over the rows before and the row itself: x [T, channels], weight [channels,
        1, size] -> [T, channels]."""
        assert x.shape[1] == weight.shape[0], f"{weight.name}: {x.shape} and {weight.shape}"
        return self._one("causal_depthwise", (x, weight), x.shape)

    def sinusoids(self, count: int, width: int) -> Value:
        """Encodings [count, width] of the distances 0 … count - 1: the sines of distance / timescale, then the cosines,
        timescales from 1 to 10,000 in geometric steps."""
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
        """Attention of each row over itself and the window - 1 rows before it, q, k and v [T, heads, size].

        With q' = scale * softplus(dim_scale [size]) * q, the score of the row at distance d before is
        cap * tanh(q' . (key_scale * k + relative[d]) / cap), relative being [distances, heads * size].
        Returns [T, heads, size].
        """
        assert q.shape == k.shape == v.shape and window <= known(relative.shape[0])
        attrs: dict[str, Attr] = {"window": window, "scale": scale, "key_scale": key_scale, "cap": cap}
        return self._one("local_attention", (q, k, v, relative, dim_scale), q.shape, **attrs)

    # --- centroids --------------------------------------------------------------------------------------

    def top_k(self, scores: Value, k: int) -> Value:
        """The places of the k largest of scores [T, n], the largest first: [T, k] i32."""
        return self._add("top_k", (scores,), ((scores.shape[0], k), "i32"), k=k)[0]

    def members(self, groups: Value, ordering: Weight, size: int) -> Value:
        """What belongs to groups [T, k] i32, where `ordering` lists the `size` members of each group in turn:
        [T, k * size] i32."""
        assert ordering.role == "ordering" and ordering.shape[0] % size == 0
        shape: Shape = (groups.shape[0], known(groups.shape[1]) * size)
        return self._add("members", (groups, ordering), (shape, "i32"), size=size)[0]

    def linear_rows(self, x: Value, ids: Value, weight: Weight) -> Value:
        """x [T, columns] times the rows of weight [rows, columns] that each token has chosen by ids [T, n] i32:
        [T, n]."""
        assert x.shape[-1] == weight.shape[1] and not weight.bits, f"{weight.name}: {x.shape} x {weight.shape}"
        return self._one("linear_rows", (x, ids, weight), ids.shape)

    def scatter(self, scores: Value, ids: Value, size: int) -> Value:
        """[T, size], with scores [T, n] at the places ids [T, n] i32, which differ within a token, and one below the
        token's lowest at all others."""
        assert scores.shape == ids.shape
        return self._one("scatter", (scores, ids), (scores.shape[0], size), size=size)

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
