"""The reference backend: runs a graph eagerly in f32. The functions below are what the ops mean.

Shapes are those of the method of the same name in `gemtab.graph.builder.GraphBuilder`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch.nn.functional import conv1d, conv2d, gelu, pad, softplus

from gemtab.graph import CACHE, Graph, Node, Shape, Weight
from gemtab.quantize import WeightReader

# Elements of a weight that are in memory at a time when weights are not kept (256 MB of f32).
_CHUNK = 1 << 26


@dataclass(frozen=True)
class KV:
    """A cache: keys and values of positions 0 … P - 1, each [P, kv_heads, size] f32."""

    k: torch.Tensor
    v: torch.Tensor

    def until(self, position: int) -> "KV":
        """The cache as it was before the token at `position`."""
        return KV(self.k[:position], self.v[:position])


Result = torch.Tensor | KV
Caches = dict[str, KV]
Values = dict[str, Result]


@dataclass(frozen=True)
class Run:
    """A sequence on its way through a graph: its values by name, to begin with the inputs, and its caches."""

    values: Values
    caches: Caches = field(default_factory=dict)


@dataclass(frozen=True)
class StoredWeight:
    """A weight that ops read as much of as they need."""

    weight: Weight
    reader: WeightReader

    def whole(self) -> torch.Tensor:
        """The weight, of its shape."""
        return self.reader.read(self.weight)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop - 1 along the first axis."""
        return self.reader.read_rows(self.weight, start, stop)

    def gather(self, ids: torch.Tensor) -> torch.Tensor:
        """The rows at `ids`, any shape: [*ids.shape, *weight.shape[1:]]."""
        unique, where = torch.unique(ids, return_inverse=True)
        return torch.cat([self.rows(i, i + 1) for i in unique.tolist()])[where]


class KeptWeights:
    """Weights that stay in memory, in f32, once they have been read."""

    def __init__(self, weights: WeightReader) -> None:
        self._weights = weights
        self._kept: dict[str, torch.Tensor] = {}

    def read(self, weight: Weight) -> torch.Tensor:
        """The whole weight."""
        if weight.name not in self._kept:
            self._kept[weight.name] = self._weights.read(weight)
        return self._kept[weight.name]

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop - 1."""
        return self.read(weight)[start:stop]


class Reference:
    """Runs one graph.

    layerwise: weights are read when an op needs them and dropped after it, a part at a time, so that a checkpoint
    larger than memory works; otherwise they are kept.
    """

    def __init__(self, graph: Graph, weights: WeightReader, layerwise: bool = False) -> None:
        self._graph = graph
        self._weights = weights if layerwise else KeptWeights(weights)

    def run(self, inputs: Mapping[str, torch.Tensor], caches: Caches) -> dict[str, torch.Tensor]:
        """The graph's outputs by name, of the `inputs` by name; `caches` grow in place, but for those that are inputs
        of the graph.

        Outputs that are caches are not among them: they are in `caches`.
        """
        read = (value.name for value in self._graph.inputs if value.dtype == CACHE)
        (outputs,) = self.run_together([Run({**inputs, **{name: caches[name] for name in read}}, caches)])
        return outputs

    def run_together(
        self, runs: Sequence[Run], after_node: Callable[[], None] = lambda: None
    ) -> list[dict[str, torch.Tensor]]:
        """The outputs of each run, as `run` gives them. Weights are read once for all runs, and a value is kept as
        long as a node needs it: of a large model, reading takes longer than multiplying, and values more than memory.
        """
        unneeded = self._unneeded_after()
        for index, node in enumerate(self._graph.nodes):
            for run, results in zip(runs, self._apply(node, runs), strict=True):
                run.values.update(results)
                for name in unneeded[index]:
                    run.values.pop(name, None)
            after_node()
        outputs = {name: value.name for name, value in self._graph.outputs.items()}
        found = [{name: run.values[value] for name, value in outputs.items()} for run in runs]
        return [{name: one for name, one in each.items() if isinstance(one, torch.Tensor)} for each in found]

    def _unneeded_after(self) -> list[list[str]]:
        """The values that no node after each needs, and no output is."""
        last: dict[str, int] = {}
        for index, node in enumerate(self._graph.nodes):
            read = [item.name for item in node.inputs if not isinstance(item, Weight)]
            last |= dict.fromkeys([*read, *(value.name for value in node.outputs)], index)
        for value in self._graph.outputs.values():
            last.pop(value.name, None)
        unneeded: list[list[str]] = [[] for _ in self._graph.nodes]
        for name, index in last.items():
            unneeded[index].append(name)
        return unneeded

    def _apply(self, node: Node, runs: Sequence[Run]) -> list[Values]:
        """The node's results for each run. Rows of several runs go through a weight together where the op treats rows
        by themselves."""
        if len(runs) == 1 or node.op not in ROW_BY_ROW or not any(isinstance(x, Weight) for x in node.inputs):
            return [self._results(node, run.values, run.caches) for run in runs]
        names = [value.name for value in node.inputs if not isinstance(value, Weight)]
        rows = {name: [run.values[name] for run in runs] for name in names}
        joined = {name: torch.cat([_tensor(one) for one in ones]) for name, ones in rows.items()}
        ends = [*accumulate(len(_tensor(one)) for one in rows[names[0]])]
        results = self._results(node, joined, {})
        return [
            {name: _tensor(result)[first:last] for name, result in results.items()}
            for first, last in zip([0, *ends], ends, strict=False)
        ]

    def steps(self, values: Mapping[str, Result], caches: Caches) -> Iterator[tuple[Node, Values]]:
        """Each node in turn with its results by name, which the caller adds to `values` before it goes on."""
        for node in self._graph.nodes:
            yield node, self._results(node, values, caches)

    def _results(self, node: Node, values: Mapping[str, Result], caches: Caches) -> Values:
        items = [StoredWeight(x, self._weights) if isinstance(x, Weight) else values[x.name] for x in node.inputs]
        with torch.inference_mode():
            made = OPS[node.op](*items, **node.attrs, **_context(node, caches))
        results = made if isinstance(made, tuple) else (made,)
        return {value.name: result for value, result in zip(node.outputs, results, strict=True)}


def _tensor(result: Result) -> torch.Tensor:
    assert isinstance(result, torch.Tensor)
    return result


def _context(node: Node, caches: Caches) -> dict[str, object]:
    """What an op is told beside its inputs and attributes."""
    if node.op == "kv_write":
        return {"caches": caches}
    if node.op == "reshape":
        return {"shape": node.output.shape}
    if node.op == "sinusoids":
        return dict(zip(("count", "width"), node.output.shape, strict=True))
    return {}


# --- tokens ---------------------------------------------------------------------------------------------


def replace_ids(ids: torch.Tensor, *, replaced: tuple[int, ...], by: int) -> torch.Tensor:
    """Exchanges every id in `replaced` for `by`."""
    return torch.where(torch.isin(ids, torch.tensor(replaced, dtype=ids.dtype)), by, ids)


def embed(ids: torch.Tensor, table: StoredWeight, *, scale: float, columns: int) -> torch.Tensor:
    """Looks up rows of the table, and scales their first `columns` columns."""
    return table.gather(ids)[..., :columns] * scale


def insert_rows(
    x: torch.Tensor, ids: torch.Tensor, rows: torch.Tensor, *, placeholders: tuple[int, ...]
) -> torch.Tensor:
    """Takes rows from elsewhere for tokens that only hold a place."""
    held = torch.isin(ids, torch.tensor(placeholders, dtype=ids.dtype))
    return torch.where(held[:, None], rows, x)


def block_ends(blocks: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The last position of each token's block."""
    same = (blocks[:, None] == blocks) & (blocks >= 0)
    return torch.where(same, positions, positions[:, None]).amax(1)


def keep_last(x: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """The last `count` rows; Python's x[-0:] is all of them, which is what 0 asks for."""
    return x[-int(count) :]


# --- arithmetic -----------------------------------------------------------------------------------------


def linear(
    x: torch.Tensor,
    weight: StoredWeight,
    input_scales: StoredWeight | None = None,
    output_scales: StoredWeight | None = None,
    *,
    rows: int,
) -> torch.Tensor:
    """x @ weight[:rows].T, a chunk of rows at a time; activations rounded where the weight was trained so."""
    if input_scales is None or output_scales is None:
        return _product(x, weight, 0, rows)
    sides = zip(weight.weight.parts, input_scales.whole(), output_scales.whole(), strict=True)
    parts, first = [], 0
    for size, before, after in sides:
        stop = min(first + size, rows)
        if first < stop:
            parts.append(_rounded(_product(_rounded(x, before), weight, first, stop), after))
        first += size
    return torch.cat(parts, dim=-1)


def _product(x: torch.Tensor, weight: StoredWeight, first: int, stop: int) -> torch.Tensor:
    step = max(1, _CHUNK // weight.weight.shape[1])
    return torch.cat([x @ weight.rows(i, min(i + step, stop)).T for i in range(first, stop, step)], dim=-1)


def _rounded(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Rounds to whole numbers of a scale within a signed byte's range."""
    return x if scale == 0 else (x / scale).round().clamp(-128, 127) * scale


def rms_norm(x: torch.Tensor, weight: StoredWeight | None = None, *, eps: float) -> torch.Tensor:
    """Divides by the root of the mean square."""
    normed = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return normed if weight is None else normed * weight.whole()


def add(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The sum."""
    return x + y


def mul(x: torch.Tensor, y: torch.Tensor | StoredWeight) -> torch.Tensor:
    """The product."""
    return x * (y.whole() if isinstance(y, StoredWeight) else y)


def scale(x: torch.Tensor, *, factor: float) -> torch.Tensor:
    """The product with a number."""
    return x * factor


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    """gelu, tanh approximation."""
    return gelu(x, approximate="tanh")


def glu(x: torch.Tensor) -> torch.Tensor:
    """Gates the second half by gelu of the first."""
    gate, up = x.chunk(2, dim=-1)
    return gelu_tanh(gate) * up


def softcap(x: torch.Tensor, *, cap: float) -> torch.Tensor:
    """Bends values smoothly into -cap … cap."""
    return cap * torch.tanh(x / cap)


def affine(x: torch.Tensor, *, factor: float, offset: float) -> torch.Tensor:
    """A line."""
    return x * factor + offset


def add_vector(x: torch.Tensor, vector: StoredWeight) -> torch.Tensor:
    """The sum with a bias."""
    return x + vector.whole()


def standardise(x: torch.Tensor, mean: StoredWeight, factor: StoredWeight) -> torch.Tensor:
    """The distance from the mean, in units."""
    return (x - mean.whole()) * factor.whole()


def clamp(x: torch.Tensor, *, bound: float) -> torch.Tensor:
    """Cuts off what is beyond the bound."""
    return x.clamp(-bound, bound)


def clip(x: torch.Tensor, low: StoredWeight, high: StoredWeight) -> torch.Tensor:
    """Cuts off what is outside learned bounds."""
    return x.clamp(low.whole(), high.whole())


def layer_norm(x: torch.Tensor, weight: StoredWeight, bias: StoredWeight | None = None, *, eps: float) -> torch.Tensor:
    """Takes off the mean and divides by the standard deviation."""
    centred = x - x.mean(-1, keepdim=True)
    normed = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps) * weight.whole()
    return normed if bias is None else normed + bias.whole()


def relu(x: torch.Tensor) -> torch.Tensor:
    """What is positive."""
    return x.clamp(min=0)


def silu(x: torch.Tensor) -> torch.Tensor:
    """Gates by its own sigmoid."""
    return x * torch.sigmoid(x)


def sigmoid_glu(x: torch.Tensor) -> torch.Tensor:
    """Gates the first half by the sigmoid of the second."""
    value, gate = x.chunk(2, dim=-1)
    return value * torch.sigmoid(gate)


# --- views ----------------------------------------------------------------------------------------------


def slice_columns(x: torch.Tensor, *, start: int, stop: int) -> torch.Tensor:
    """Columns start … stop - 1 of the last axis."""
    return x[..., start:stop]


def reshape(x: torch.Tensor, *, shape: Shape) -> torch.Tensor:
    """The same elements in another shape; a symbolic size is what is left over."""
    return x.reshape([-1 if isinstance(dim, str) else dim for dim in shape])


def pick(x: torch.Tensor, *, index: int) -> torch.Tensor:
    """One entry of the second axis."""
    return x[:, index]


# --- attention ------------------------------------------------------------------------------------------


def rope(
    x: torch.Tensor, positions: torch.Tensor, *, theta: float, rotated_pairs: int, factor: float = 1.0
) -> torch.Tensor:
    """Turns element pairs (i, i + size/2) by position / factor * theta^(-2i/size).

    Angles are taken in f64: in f32 those of large positions have lost their fraction.
    """
    size = x.shape[-1]
    exponents = -2.0 * torch.arange(rotated_pairs, dtype=torch.float64) / size
    angles = positions.double()[:, None, None] * theta**exponents / factor
    cos, sin = angles.cos().float(), angles.sin().float()
    rotated = x.clone()
    a, b = x[..., :rotated_pairs], x[..., size // 2 : size // 2 + rotated_pairs]
    rotated[..., :rotated_pairs] = a * cos - b * sin
    rotated[..., size // 2 : size // 2 + rotated_pairs] = b * cos + a * sin
    return rotated


def kv_write(k: torch.Tensor, v: torch.Tensor, *, cache: str, window: int | None, caches: Caches) -> KV:
    """Appends to the cache. The whole history is kept: `window` is for backends that keep less."""
    del window
    if cache in caches:
        k, v = torch.cat([caches[cache].k, k]), torch.cat([caches[cache].v, v])
    caches[cache] = KV(k, v)
    return caches[cache]


def attention(
    q: torch.Tensor,
    cache: KV,
    positions: torch.Tensor,
    visible: torch.Tensor | None = None,
    *,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """Softmax attention over the positions that each token sees."""
    shared = q.shape[1] // cache.k.shape[1]
    k, v = cache.k.repeat_interleave(shared, dim=1), cache.v.repeat_interleave(shared, dim=1)
    scores = torch.einsum("thd,shd->hts", q, k) * scale
    keys = torch.arange(len(k))
    hidden = keys > (positions if visible is None else visible)[:, None]
    if window is not None:
        hidden = hidden | (keys <= positions[:, None] - window)
    weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    return torch.einsum("hts,shd->thd", weights, v)


# --- towers ---------------------------------------------------------------------------------------------


def embed_positions(
    positions: torch.Tensor, table: StoredWeight, *, position_step: int, axis_step: int
) -> torch.Tensor:
    """Looks up a row for x and one for y and adds them."""
    rows = positions * position_step + torch.tensor([0, axis_step], dtype=positions.dtype)
    return table.gather(rows).sum(1)


def axial_rope(x: torch.Tensor, positions: torch.Tensor, *, theta: float) -> torch.Tensor:
    """Turns the halves of each head by x and by y."""
    rotated = [
        rope(half, positions[:, axis], theta=theta, rotated_pairs=half.shape[-1] // 2)
        for axis, half in enumerate(x.chunk(2, dim=-1))
    ]
    return torch.cat(rotated, dim=-1)


def full_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, scale: float) -> torch.Tensor:
    """Softmax attention of every row over every row."""
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
    heads = [((q[:, h] @ k[:, h].T) * scale).softmax(-1) @ v[:, h] for h in range(q.shape[1])]
    return torch.stack(heads, dim=1)


def pool(x: torch.Tensor, positions: torch.Tensor, *, side: int) -> torch.Tensor:
    """Averages the patches of each cell."""
    cells = positions // side
    columns = int(cells[:, 0].max()) + 1
    sums = x.new_zeros(len(x) // side**2, x.shape[1])
    return sums.index_add_(0, cells[:, 0] + columns * cells[:, 1], x) / side**2


def subsample(x: torch.Tensor, weight: StoredWeight) -> torch.Tensor:
    """Convolves time and frequency, keeping every second place of each."""
    return conv2d(x.permute(2, 0, 1)[None], weight.whole(), stride=2, padding=1)[0].permute(1, 2, 0)


def causal_depthwise(x: torch.Tensor, weight: StoredWeight) -> torch.Tensor:
    """Convolves each channel with the past; before the beginning there are zeros."""
    kernel = weight.whole()
    padded = pad(x.T, (kernel.shape[-1] - 1, 0))
    return conv1d(padded[None], kernel, groups=len(kernel))[0].T


def sinusoids(*, count: int, width: int) -> torch.Tensor:
    """Sines, then cosines, of each distance on timescales from 1 to 10,000."""
    half = width // 2
    rates = 1e4 ** (-torch.arange(half, dtype=torch.float64) / max(half - 1, 1))
    angles = torch.arange(count, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1).float()


def local_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    relative: torch.Tensor,
    dim_scale: StoredWeight,
    *,
    window: int,
    scale: float,
    key_scale: float,
    cap: float,
) -> torch.Tensor:
    """Softmax attention over the last rows, scored by content and by distance."""
    q = q * (scale * softplus(dim_scale.whole()))
    near = relative.reshape(len(relative), *q.shape[1:])
    by_content = torch.einsum("thd,shd->hts", q, k * key_scale)
    distance = torch.arange(len(q))[:, None] - torch.arange(len(q))
    seen = (distance >= 0) & (distance < window)
    by_distance = torch.einsum("thd,nhd->htn", q, near)
    by_distance = by_distance.gather(2, distance.clamp(0, window - 1).expand(by_content.shape))
    scores = softcap(by_content + by_distance, cap=cap).masked_fill(~seen, float("-inf"))
    return torch.einsum("hts,shd->thd", scores.softmax(-1), v)


# --- centroids ------------------------------------------------------------------------------------------


def top_k(scores: torch.Tensor, *, k: int) -> torch.Tensor:
    """Finds the largest."""
    return scores.topk(k).indices.to(torch.int32)


def members(groups: torch.Tensor, ordering: StoredWeight, *, size: int) -> torch.Tensor:
    """Looks up whole groups."""
    return ordering.whole().to(torch.int32).reshape(-1, size)[groups].flatten(1)


def linear_rows(x: torch.Tensor, ids: torch.Tensor, weight: StoredWeight) -> torch.Tensor:
    """Multiplies by the chosen rows, reading no others."""
    return torch.einsum("th,tnh->tn", x, weight.gather(ids))


def scatter(scores: torch.Tensor, ids: torch.Tensor, *, size: int) -> torch.Tensor:
    """Puts scores in their places, and what is below all of them in the rest."""
    below = scores.amin(-1, keepdim=True) - 1
    return below.expand(-1, size).scatter(-1, ids.long(), scores)


# --- experts --------------------------------------------------------------------------------------------


def route_top_k(scores: torch.Tensor, expert_scale: StoredWeight, *, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Picks each token's k experts and weighs them."""
    weights, ids = scores.softmax(-1).topk(k)
    weights = weights / weights.sum(-1, keepdim=True)
    return weights * expert_scale.whole()[ids], ids.to(torch.int32)


def expert_linear(x: torch.Tensor, ids: torch.Tensor, weight: StoredWeight) -> torch.Tensor:
    """Multiplies by the matrices of the chosen experts, reading no others."""
    if x.dim() == 2:
        x = x[:, None].expand(-1, ids.shape[1], -1)
    out = x.new_empty(*ids.shape, weight.weight.shape[1])
    for expert in torch.unique(ids).tolist():
        chosen = ids == expert
        out[chosen] = x[chosen] @ weight.rows(expert, expert + 1)[0].T
    return out


def weighted_sum(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sums over the second axis, weighted."""
    return (x * weights[..., None]).sum(1)


OPS: dict[str, Callable[..., Result | tuple[Result, ...]]] = {
    "replace_ids": replace_ids,
    "embed": embed,
    "insert_rows": insert_rows,
    "block_ends": block_ends,
    "keep_last": keep_last,
    "linear": linear,
    "rms_norm": rms_norm,
    "add": add,
    "mul": mul,
    "scale": scale,
    "gelu_tanh": gelu_tanh,
    "affine": affine,
    "add_vector": add_vector,
    "standardise": standardise,
    "clamp": clamp,
    "clip": clip,
    "layer_norm": layer_norm,
    "relu": relu,
    "silu": silu,
    "sigmoid_glu": sigmoid_glu,
    "glu": glu,
    "softcap": softcap,
    "slice": slice_columns,
    "reshape": reshape,
    "pick": pick,
    "rope": rope,
    "kv_write": kv_write,
    "attention": attention,
    "embed_positions": embed_positions,
    "axial_rope": axial_rope,
    "full_attention": full_attention,
    "pool": pool,
    "subsample": subsample,
    "causal_depthwise": causal_depthwise,
    "sinusoids": sinusoids,
    "local_attention": local_attention,
    "top_k": top_k,
    "members": members,
    "linear_rows": linear_rows,
    "scatter": scatter,
    "route_top_k": route_top_k,
    "expert_linear": expert_linear,
    "weighted_sum": weighted_sum,
}

ROW_BY_ROW = frozenset({"embed", "linear", "rms_norm", "mul", "expert_linear", "route_top_k"})
"""Ops that make a row of the result of a row of each tensor, so that rows need not be of one sequence."""
