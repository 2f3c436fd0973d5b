"""The reference backend: runs a graph eagerly in f32. The functions below define the ops.

Shapes are those of the method of the same name in `gemtab.graph.builder.GraphBuilder`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch.nn.functional import conv1d, conv2d, gelu, pad, softplus

from gemtab.graph import CACHE, Graph, Node, Shape, Weight
from gemtab.quantize import WeightReader

# Elements of a weight that `linear` reads at a time (256 MB of f32).
_CHUNK = 1 << 26


@dataclass(frozen=True)
class KV:
    """A cache: keys and values of positions 0 … P - 1, each [P, kv_heads, size] f32."""

    k: torch.Tensor
    v: torch.Tensor

    def until(self, position: int) -> "KV":
        """Return the cache of the positions before `position`."""
        return KV(self.k[:position], self.v[:position])


Result = torch.Tensor | KV
Caches = dict[str, KV]
Values = dict[str, Result]


@dataclass(frozen=True)
class Run:
    """One sequence that runs through a graph. values: by name, at first the inputs alone. caches: by name."""

    values: Values
    caches: Caches = field(default_factory=dict)


@dataclass(frozen=True)
class StoredWeight:
    """A weight and its reader. An op reads only the rows that it needs."""

    weight: Weight
    reader: WeightReader

    def whole(self) -> torch.Tensor:
        """Return the whole weight."""
        return self.reader.read(self.weight)

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1 of the first axis."""
        return self.reader.read_rows(self.weight, start, stop)

    def gather(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows at `ids`, which have any shape: [*ids.shape, *weight.shape[1:]]."""
        unique, inverse = torch.unique(ids, return_inverse=True)
        return torch.cat([self.rows(i, i + 1) for i in unique.tolist()])[inverse]


class KeptWeights:
    """A reader that keeps each weight in memory, in f32, after the first read."""

    def __init__(self, weights: WeightReader) -> None:
        self._weights = weights
        self._kept: dict[str, torch.Tensor] = {}

    def read(self, weight: Weight) -> torch.Tensor:
        """Return the whole weight."""
        if weight.name not in self._kept:
            self._kept[weight.name] = self._weights.read(weight)
        return self._kept[weight.name]

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1."""
        return self.read(weight)[start:stop]


class Reference:
    """Runs one graph.

    layerwise: read weights when an op needs them, in parts, and drop them afterwards, so that a checkpoint may be
    larger than memory. Otherwise weights are kept.
    """

    def __init__(self, graph: Graph, weights: WeightReader, layerwise: bool = False) -> None:
        self._graph = graph
        self._weights = weights if layerwise else KeptWeights(weights)

    def run(self, inputs: Mapping[str, torch.Tensor], caches: Caches) -> dict[str, torch.Tensor]:
        """Return the graph's outputs by name, except caches.

        inputs: by name. caches: extended in place, except those that are inputs of the graph.
        """
        input_caches = (value.name for value in self._graph.inputs if value.dtype == CACHE)
        (outputs,) = self.run_together([Run({**inputs, **{name: caches[name] for name in input_caches}}, caches)])
        return outputs

    def run_together(
        self, runs: Sequence[Run], after_node: Callable[[], None] = lambda: None
    ) -> list[dict[str, torch.Tensor]]:
        """Return the outputs of each run, as `run` does. `after_node` is called after each node.

        For large models: weights are read once for all runs, since reading takes longer than multiplying. Each value
        is dropped after the last node that reads the value.
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
        """Return, for each node, the values that are last used by the node and are no outputs of the graph."""
        last_use: dict[str, int] = {}
        for index, node in enumerate(self._graph.nodes):
            read = [item.name for item in node.inputs if not isinstance(item, Weight)]
            last_use |= dict.fromkeys([*read, *(value.name for value in node.outputs)], index)
        for value in self._graph.outputs.values():
            last_use.pop(value.name, None)
        unneeded: list[list[str]] = [[] for _ in self._graph.nodes]
        for name, index in last_use.items():
            unneeded[index].append(name)
        return unneeded

    def _apply(self, node: Node, runs: Sequence[Run]) -> list[Values]:
        """Return the node's results for each run. An op that works row by row gets the rows of all runs at once."""
        if len(runs) == 1 or node.op not in ROW_BY_ROW or not any(isinstance(x, Weight) for x in node.inputs):
            return [self._results(node, run.values, run.caches) for run in runs]
        names = [value.name for value in node.inputs if not isinstance(value, Weight)]
        rows = {name: [run.values[name] for run in runs] for name in names}
        joined = {name: torch.cat([_tensor(one) for one in each]) for name, each in rows.items()}
        ends = [*accumulate(len(_tensor(one)) for one in rows[names[0]])]
        results = self._results(node, joined, {})
        return [
            {name: _tensor(result)[start:stop] for name, result in results.items()}
            for start, stop in zip([0, *ends], ends, strict=False)
        ]

    def steps(self, values: Mapping[str, Result], caches: Caches) -> Iterator[tuple[Node, Values]]:
        """Yield each node with its results by name. The caller adds the results to `values` before the next node."""
        for node in self._graph.nodes:
            yield node, self._results(node, values, caches)

    def _results(self, node: Node, values: Mapping[str, Result], caches: Caches) -> Values:
        items = [StoredWeight(x, self._weights) if isinstance(x, Weight) else values[x.name] for x in node.inputs]
        with torch.inference_mode():
            made = OPS[node.op](*items, **node.attrs, **_extra_arguments(node, caches))
        results = made if isinstance(made, tuple) else (made,)
        return {value.name: result for value, result in zip(node.outputs, results, strict=True)}


def _tensor(result: Result) -> torch.Tensor:
    assert isinstance(result, torch.Tensor)
    return result


def _extra_arguments(node: Node, caches: Caches) -> dict[str, object]:
    """Return the arguments that an op takes beside inputs and attributes: caches, or sizes of the output."""
    if node.op == "kv_write":
        return {"caches": caches}
    if node.op == "reshape":
        return {"shape": node.output.shape}
    if node.op == "sinusoids":
        return dict(zip(("count", "width"), node.output.shape, strict=True))
    return {}


# --- tokens ---------------------------------------------------------------------------------------------


def replace_ids(ids: torch.Tensor, *, replaced: tuple[int, ...], replacement: int) -> torch.Tensor:
    """ids, with `replacement` for every id in `replaced`."""
    return torch.where(torch.isin(ids, torch.tensor(replaced, dtype=ids.dtype)), replacement, ids)


def embed(ids: torch.Tensor, table: StoredWeight, *, scale: float, columns: int) -> torch.Tensor:
    """table[ids, :columns] * scale."""
    return table.gather(ids)[..., :columns] * scale


def insert_rows(
    x: torch.Tensor, ids: torch.Tensor, rows: torch.Tensor, *, placeholders: tuple[int, ...]
) -> torch.Tensor:
    """rows[t] where ids[t] is a placeholder, else x[t]."""
    is_placeholder = torch.isin(ids, torch.tensor(placeholders, dtype=ids.dtype))
    return torch.where(is_placeholder[:, None], rows, x)


def block_ends(blocks: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The last position of each token's block (image); the token's own position without a block."""
    same = (blocks[:, None] == blocks) & (blocks >= 0)
    return torch.where(same, positions, positions[:, None]).amax(1)


def keep_last(x: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """x[-count:], the last `count` rows. For count 0, x[-0:] is all rows, as specified."""
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
    """x @ weight[:rows].T, a chunk of rows at a time, with rounded activations if there are scales."""
    if input_scales is None or output_scales is None:
        return _product(x, weight, 0, rows)
    sources = zip(weight.weight.parts, input_scales.whole(), output_scales.whole(), strict=True)
    parts, first = [], 0
    for size, input_scale, output_scale in sources:
        stop = min(first + size, rows)
        if first < stop:
            parts.append(_rounded(_product(_rounded(x, input_scale), weight, first, stop), output_scale))
        first += size
    return torch.cat(parts, dim=-1)


def _product(x: torch.Tensor, weight: StoredWeight, first: int, stop: int) -> torch.Tensor:
    step = max(1, _CHUNK // weight.weight.shape[1])
    return torch.cat([x @ weight.rows(i, min(i + step, stop)).T for i in range(first, stop, step)], dim=-1)


def _rounded(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """clamp(round(x / scale), -128, 127) * scale; x if scale is 0."""
    return x if scale == 0 else (x / scale).round().clamp(-128, 127) * scale


def rms_norm(x: torch.Tensor, weight: StoredWeight | None = None, *, eps: float) -> torch.Tensor:
    """x / sqrt(mean(x^2) + eps) * weight."""
    normed = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return normed if weight is None else normed * weight.whole()


def add(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """x + y."""
    return x + y


def mul(x: torch.Tensor, y: torch.Tensor | StoredWeight) -> torch.Tensor:
    """x * y."""
    return x * (y.whole() if isinstance(y, StoredWeight) else y)


def scale(x: torch.Tensor, *, factor: float) -> torch.Tensor:
    """x * factor."""
    return x * factor


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    """gelu(x), tanh approximation."""
    return gelu(x, approximate="tanh")


def glu(x: torch.Tensor) -> torch.Tensor:
    """gelu(first half) * second half."""
    gate, up = x.chunk(2, dim=-1)
    return gelu_tanh(gate) * up


def softcap(x: torch.Tensor, *, cap: float) -> torch.Tensor:
    """cap * tanh(x / cap)."""
    return cap * torch.tanh(x / cap)


def affine(x: torch.Tensor, *, factor: float, offset: float) -> torch.Tensor:
    """x * factor + offset."""
    return x * factor + offset


def add_vector(x: torch.Tensor, vector: StoredWeight) -> torch.Tensor:
    """x + vector."""
    return x + vector.whole()


def standardise(x: torch.Tensor, mean: StoredWeight, factor: StoredWeight) -> torch.Tensor:
    """(x - mean) * factor."""
    return (x - mean.whole()) * factor.whole()


def clamp(x: torch.Tensor, *, bound: float) -> torch.Tensor:
    """max(-bound, min(x, bound))."""
    return x.clamp(-bound, bound)


def clip(x: torch.Tensor, low: StoredWeight, high: StoredWeight) -> torch.Tensor:
    """max(low, min(x, high))."""
    return x.clamp(low.whole(), high.whole())


def layer_norm(x: torch.Tensor, weight: StoredWeight, bias: StoredWeight | None = None, *, eps: float) -> torch.Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias."""
    centred = x - x.mean(-1, keepdim=True)
    normed = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps) * weight.whole()
    return normed if bias is None else normed + bias.whole()


def relu(x: torch.Tensor) -> torch.Tensor:
    """max(x, 0)."""
    return x.clamp(min=0)


def silu(x: torch.Tensor) -> torch.Tensor:
    """x * sigmoid(x)."""
    return x * torch.sigmoid(x)


def sigmoid_glu(x: torch.Tensor) -> torch.Tensor:
    """first half * sigmoid(second half)."""
    value, gate = x.chunk(2, dim=-1)
    return value * torch.sigmoid(gate)


# --- views ----------------------------------------------------------------------------------------------


def slice_columns(x: torch.Tensor, *, start: int, stop: int) -> torch.Tensor:
    """x[..., start:stop]."""
    return x[..., start:stop]


def reshape(x: torch.Tensor, *, shape: Shape) -> torch.Tensor:
    """x.reshape(shape); a symbolic size is inferred."""
    return x.reshape([-1 if isinstance(dim, str) else dim for dim in shape])


def pick(x: torch.Tensor, *, index: int) -> torch.Tensor:
    """x[:, index]."""
    return x[:, index]


# --- attention ------------------------------------------------------------------------------------------


def rope(
    x: torch.Tensor, positions: torch.Tensor, *, theta: float, rotated_pairs: int, factor: float = 1.0
) -> torch.Tensor:
    """Rotate pairs (i, i + size/2), for i < rotated_pairs, by position / factor * theta^(-2i/size).

    Angles are f64: in f32, those of large positions lose their fraction.
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
    """Append k and v to the cache. All positions are kept; `window` is for backends that keep fewer."""
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
    """softmax(scale * q . k) @ v, over the positions that each token sees."""
    group = q.shape[1] // cache.k.shape[1]  # query heads that share a KV head
    k, v = cache.k.repeat_interleave(group, dim=1), cache.v.repeat_interleave(group, dim=1)
    scores = torch.einsum("thd,shd->hts", q, k) * scale
    keys = torch.arange(len(k))
    masked = keys > (positions if visible is None else visible)[:, None]
    if window is not None:
        masked = masked | (keys <= positions[:, None] - window)
    weights = scores.masked_fill(masked, float("-inf")).softmax(-1)
    return torch.einsum("hts,shd->thd", weights, v)


# --- towers ---------------------------------------------------------------------------------------------


def embed_positions(
    positions: torch.Tensor, table: StoredWeight, *, position_step: int, axis_step: int
) -> torch.Tensor:
    """table[px * position_step] + table[py * position_step + axis_step], (px, py) = positions[n]."""
    rows = positions * position_step + torch.tensor([0, axis_step], dtype=positions.dtype)
    return table.gather(rows).sum(1)


def axial_rope(x: torch.Tensor, positions: torch.Tensor, *, theta: float) -> torch.Tensor:
    """Rotate the first half of each head by positions[:, 0], the second half by positions[:, 1]."""
    rotated = [
        rope(half, positions[:, axis], theta=theta, rotated_pairs=half.shape[-1] // 2)
        for axis, half in enumerate(x.chunk(2, dim=-1))
    ]
    return torch.cat(rotated, dim=-1)


def full_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, scale: float) -> torch.Tensor:
    """softmax(scale * q . k) @ v, over all rows."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    heads = [((q[:, h] @ k[:, h].T) * scale).softmax(-1) @ v[:, h] for h in range(q.shape[1])]
    return torch.stack(heads, dim=1)


def pool(x: torch.Tensor, positions: torch.Tensor, *, side: int) -> torch.Tensor:
    """The mean of each cell's side * side patches."""
    cells = positions // side
    columns = int(cells[:, 0].max()) + 1
    sums = x.new_zeros(len(x) // side**2, x.shape[1])
    return sums.index_add_(0, cells[:, 0] + columns * cells[:, 1], x) / side**2


def subsample(x: torch.Tensor, weight: StoredWeight) -> torch.Tensor:
    """Convolution in time and frequency, 3 by 3, with stride 2 and padding 1."""
    return conv2d(x.permute(2, 0, 1)[None], weight.whole(), stride=2, padding=1)[0].permute(1, 2, 0)


def causal_depthwise(x: torch.Tensor, weight: StoredWeight) -> torch.Tensor:
    """Convolution of each channel over row t and the rows before it; zeros before the first row."""
    kernel = weight.whole()
    padded = pad(x.T, (kernel.shape[-1] - 1, 0))
    return conv1d(padded[None], kernel, groups=len(kernel))[0].T


def sinusoids(*, count: int, width: int) -> torch.Tensor:
    """sin, then cos, of distance / timescale, for timescales from 1 to 10,000 in geometric steps."""
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
    """Attention of each row over itself and the window - 1 rows before it: scores by content and by distance."""
    q = q * (scale * softplus(dim_scale.whole()))
    encodings = relative.reshape(len(relative), *q.shape[1:])
    by_content = torch.einsum("thd,shd->hts", q, k * key_scale)
    distance = torch.arange(len(q))[:, None] - torch.arange(len(q))
    seen = (distance >= 0) & (distance < window)
    by_distance = torch.einsum("thd,nhd->htn", q, encodings)
    by_distance = by_distance.gather(2, distance.clamp(0, window - 1).expand(by_content.shape))
    scores = softcap(by_content + by_distance, cap=cap).masked_fill(~seen, float("-inf"))
    return torch.einsum("hts,shd->thd", scores.softmax(-1), v)


# --- centroids ------------------------------------------------------------------------------------------


def top_k(scores: torch.Tensor, *, k: int) -> torch.Tensor:
    """Indices of the k largest scores."""
    return scores.topk(k).indices.to(torch.int32)


def members(groups: torch.Tensor, ordering: StoredWeight, *, size: int) -> torch.Tensor:
    """ordering[g * size : (g + 1) * size] of each group g."""
    return ordering.whole().to(torch.int32).reshape(-1, size)[groups].flatten(1)


def linear_rows(x: torch.Tensor, ids: torch.Tensor, weight: StoredWeight) -> torch.Tensor:
    """x[t] . weight[ids[t, i]]. Only these rows are read."""
    return torch.einsum("th,tnh->tn", x, weight.gather(ids))


def scatter(scores: torch.Tensor, ids: torch.Tensor, *, size: int) -> torch.Tensor:
    """The scores at the indices ids, and min(scores[t]) - 1 at all others."""
    below = scores.amin(-1, keepdim=True) - 1
    return below.expand(-1, size).scatter(-1, ids.long(), scores)


# --- experts --------------------------------------------------------------------------------------------


def route_top_k(scores: torch.Tensor, expert_scale: StoredWeight, *, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest of softmax(scores), renormalised, times expert_scale."""
    weights, ids = scores.softmax(-1).topk(k)
    weights = weights / weights.sum(-1, keepdim=True)
    return weights * expert_scale.whole()[ids], ids.to(torch.int32)


def expert_linear(x: torch.Tensor, ids: torch.Tensor, weight: StoredWeight) -> torch.Tensor:
    """weight[ids[t, i]] @ x[t], or @ x[t, i]. Only the matrices of chosen experts are read."""
    if x.dim() == 2:
        x = x[:, None].expand(-1, ids.shape[1], -1)
    out = x.new_empty(*ids.shape, weight.weight.shape[1])
    for expert in torch.unique(ids).tolist():
        chosen = ids == expert
        out[chosen] = x[chosen] @ weight.rows(expert, expert + 1)[0].T
    return out


def weighted_sum(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The sum over i of weights[t, i] * x[t, i]."""
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
"""Ops whose result row t depends only on row t of each tensor, so that rows of several sequences may be joined."""
