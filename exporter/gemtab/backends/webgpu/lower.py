"""Lowering: turns steps into launches of kernels, with bindings, params and grids.

`fill` multiplies tiles of many tokens. `decode` reads every weight once for a few tokens. Both write the same caches.
All values are f32, except the caches of an f16 plan: see `cache_scales.py`.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from gemtab.backends.webgpu.cache_scales import (
    CACHE_BYTES,
    Activation,
    CacheScales,
    cache_scale,
    normed_bound,
    product_bound,
)
from gemtab.backends.webgpu.render import Binding, KernelSource
from gemtab.backends.webgpu.rope_tables import angle_table, low_size
from gemtab.backends.webgpu.split_attention import (
    MERGED_ELEMENTS,
    merge_kernel,
    parts_bytes,
    shape_of,
    split_kernel,
    splits_of,
)
from gemtab.backends.webgpu.steps import (
    INFINITE,
    AddNorm,
    Attend,
    Bounds,
    Cache,
    CombineExperts,
    Embed,
    ExpertMatmul,
    Glu,
    InsertRows,
    Matmul,
    QkvHeads,
    Route,
    Step,
)
from gemtab.backends.webgpu.stored import Piece, StoredWeights
from gemtab.backends.webgpu.tiles import DECODE_ROWS, EXPERT_TOKENS, TILE_ROWS, TILE_TOKENS
from gemtab.bundle.plan import Buffer, ControlBuffer, Expr, Limits, Residence, Ring, StateBuffer
from gemtab.errors import CheckpointError
from gemtab.graph import Graph, Value, Weight, known
from gemtab.quantize import BLOCK, CODE_BITS, StorageFormat

SAMPLED_RING = 64
"""Sampled ids that the GPU keeps."""

MAX_CANDIDATES = 1024
"""Most candidates that the sampler sorts."""

FOUND_CANDIDATES = 4096
"""Most candidates from which the sampler chooses these. If there are more, it chooses from all logits."""

MAXIMA_SLICE = 64
MAXIMA_GROUP = 4096
"""Logits per maximum that the sampler reads, and logits per workgroup of `maxima`."""

FIRST_SEGMENT = 4096
FIRST_SEGMENT_BYTES = 8 << 20
"""The first segment of a growing cache has FIRST_SEGMENT positions, or FIRST_SEGMENT_BYTES if these hold more. Each
further segment is as large as all before it together."""


@dataclass(frozen=True)
class Launch:
    """A dispatch before values get their slots. bindings: names of values or buffers."""

    kernel: KernelSource
    bindings: tuple[str, ...]
    params: tuple[int, ...]
    grid: tuple[Expr, Expr, Expr]
    label: str
    embeddings: Residence | None = None


@dataclass(frozen=True)
class _Run:
    """Rows first … stop - 1 of a matrix that multiply the value `x`. scale: of x in signed bytes; 0 if x is f32."""

    first: int
    stop: int
    x: str
    scale: float = 0.0


@dataclass(frozen=True)
class Part:
    """Rows first … first + rows - 1 of `values`, which are computed in parts. Values `inside` hold only one part's
    rows."""

    first: int
    rows: int
    inside: frozenset[str]
    values: frozenset[str]


@dataclass
class Segment:
    """Positions first … first + rows - 1 of a cache, or a ring of `rows` positions: names of the two buffers."""

    keys: str
    values: str
    first: int
    rows: int
    ring: bool


@dataclass
class Shared:
    """Caches, weights and tables that the programs of one plan share.

    context, fill_tokens: in tokens. looked_up: names of the weights that are only looked up by token id, and so may
    stay on the host. host_slots: slots on the GPU for their rows; 0 if the limits do not allow those of one step.
    tables: angle tables and other tables that are computed at export, by name.
    """

    stored: StoredWeights
    activation: Activation
    limits: Limits
    context: int
    fill_tokens: int
    looked_up: frozenset[str] = frozenset()
    host_slots: int = 0
    scales: dict[str, CacheScales] = field(default_factory=dict)
    """Scales, by the name of the cache."""
    buffers: dict[str, Buffer] = field(default_factory=dict)
    tables: dict[str, np.ndarray] = field(default_factory=dict)

    def segments(self, cache: Cache) -> list[Segment]:
        """Return the cache's buffers: one ring for a window, else segments that grow geometrically."""
        row_bytes = cache.kv_heads * cache.head_size * CACHE_BYTES[self.activation]
        if cache.window is not None:
            rows = min(cache.window + self.fill_tokens, self.context)
            # A ring as long as the context never wraps.
            ring = Ring(rows=rows, window=cache.window) if rows < self.context else None
            return [self._segment(cache, "", 0, rows, row_bytes, ring, is_ring=True)]
        segments: list[Segment] = []
        first = 0
        while first < self.context:
            rows = max(first, FIRST_SEGMENT, FIRST_SEGMENT_BYTES // row_bytes)
            rows = min(rows, self.limits.maxStorageBufferBindingSize // row_bytes)
            rows = min(rows, self.context - first)
            segments.append(self._segment(cache, f":{first}", first, rows, row_bytes, None, is_ring=False))
            first += rows
        return segments

    def _segment(
        self,
        cache: Cache,
        suffix: str,
        first: int,
        rows: int,
        row_bytes: int,
        ring: Ring | None,
        is_ring: bool,
    ) -> Segment:
        names = [f"{cache.name}:{part}{suffix}" for part in ("keys", "values")]
        limit: Expr = ("min", rows, ("max", 1, ("-", "C", first)))
        scales = self.scales[cache.name]
        for name, scale in zip(names, (scales.keys, scales.values), strict=True):
            size: Expr = rows * row_bytes if is_ring else ("*", row_bytes, limit)
            self.buffers[name] = StateBuffer(bytes=size, ring=ring, scale=scale)
        return Segment(names[0], names[1], first, rows, is_ring)

    def angles(self, theta: float, head_size: int, pairs: int, positions: int, factor: float = 1.0) -> str:
        """Return the name of the angle table for this rotation, with `positions` positions: see angle_table."""
        name = f"angles:{theta:g}:{head_size}:{pairs}" + (f":{factor:g}" if factor != 1.0 else "")
        if name not in self.tables:
            self.tables[name] = angle_table(theta, head_size, pairs, positions, factor)
        return name


def row_counts(value: Value) -> tuple[int, int]:
    """Return a value's rows per token and its fixed rows. One of the two is 0."""
    rows = value.shape[0]
    return (0, rows) if isinstance(rows, int) else (int(rows.removesuffix("T") or 1), 0)


def times(factor: int, expr: Expr) -> Expr:
    """Return factor * expr."""
    return expr if factor == 1 else ("*", factor, expr)


def float_bits(value: float) -> int:
    """Return the bits of a value as f32, clamped to the range of f32, for a u32 param."""
    (bits,) = struct.unpack("<I", struct.pack("<f", min(max(value, -INFINITE), INFINITE)))
    return int(bits)


def _spread(count: int) -> tuple[Expr, Expr, Expr]:
    """Return a grid of at least `count` workgroups, at most 65,535 in a dimension."""
    return (min(count, 65535), -(-count // 65535), 1)


def read(name: str, wgsl: str) -> Binding:
    """Return a read-only binding: an array of a WGSL type."""
    return Binding(name, "read", f"array<{wgsl}>")


def write(name: str, wgsl: str) -> Binding:
    """Return a binding that may be written: an array of a WGSL type."""
    return Binding(name, "read_write", f"array<{wgsl}>")


_MATMUL_PARAMS = tuple(
    (name, "u32")
    for name in (
        "first_row",
        "rows",
        "out_column",
        "out_width",
        "operand_offset",
        "operand_width",
        "paired",
        "factor",
        "columns",
        "blocks",
    )
)
"""Sizes outside the innermost loop are params, so that matrices share a pipeline. matmul-fill takes all sizes as
params; matmul-decode has its columns compiled in."""

_FILL_PARAMS = (*_MATMUL_PARAMS, *((name, "u32") for name in ("rows_per_token", "fixed_rows", "x_row", "out_row")))
"""matmul-fill also takes the number of rows of x, per token and fixed, and the first rows of x and out."""

_RANGE_PARAMS = tuple((name, "u32") for name in ("x_scale", "scale_0", "stop_0", "scale_1", "stop_1", "scale_2"))
"""Params of a matrix with rounded activations: the scale of x, and the scales of up to three sources with the ends of
their columns."""

_GATED = ("glu", "sigmoid_glu")
"""Epilogues that take a row and its partner."""

_GUARDS = ("y_factor", "y_bound", "sum_bound")

STEP = Binding("step", "read", "array<u32, 4>")
"""The step buffer: see ControlBuffer."""


class Lowering:
    """Lowers the steps of one program.

    tokens: most tokens of a step. fill: use the kernels for many tokens. launches: in order. sizes: bytes of the
    program's values, by name.
    """

    def __init__(self, shared: Shared, tokens: int, fill: bool) -> None:
        self._shared = shared
        self._tokens = tokens
        self._fill = fill
        self.launches: list[Launch] = []
        self.sizes: dict[str, int] = {}
        self._part: Part | None = None
        self._norms: dict[str, Weight | None] = {}
        """The weights of a norm, by the name of the norm's output."""
        self._products: dict[str, Matmul] = {}
        """Matrix products, by the name of the output."""

    def lower(self, steps: Sequence[Step], inputs: Sequence[Value] = ()) -> None:
        """Append the launches of `steps`. inputs: f32 values that the caller will write."""
        for value in inputs:
            if value.name != "media":  # a control buffer
                self._value(value)
        for step in steps:
            self._lower_step(step)

    def _lower_step(self, step: Step) -> None:
        match step:
            case Embed():
                self._embed(step)
            case InsertRows():
                self._insert_rows(step)
            case Matmul():
                self._matmul(step)
            case Glu():
                self._glu(step)
            case AddNorm():
                self._add_norm(step)
            case QkvHeads():
                self._qkv_heads(step)
            case Attend():
                self._attend(step)
            case Route():
                self._route(step)
            case ExpertMatmul():
                self._expert_matmul(step)
            case CombineExperts():
                self._combine_experts(step)
            case _:
                raise AssertionError(f"{type(step).__name__} is a tower's")

    # --- values -----------------------------------------------------------------------------------------

    def _value(self, value: Value) -> str:
        """Declare a value of this program, with 4 bytes per element. Return its name."""
        self._declare(value.name, value, 4 * prod(known(dim) for dim in value.shape[1:]))
        return value.name

    def _declare(self, name: str, like: Value, row_bytes: int) -> None:
        """Declare a value `name` with as many rows as `like`."""
        per_token, fixed = row_counts(like)
        self.sizes[name] = (per_token * self._tokens + fixed) * row_bytes

    def _weight(self, weight: Weight) -> str:
        name, buffer = self._shared.stored.whole(weight)
        self._shared.buffers[name] = buffer
        return name

    def _launch(
        self,
        kernel: KernelSource,
        bindings: Sequence[str],
        params: Sequence[int],
        grid: tuple[Expr, Expr, Expr],
        label: str,
        embeddings: Residence | None = None,
    ) -> None:
        assert len(bindings) == len(kernel.bindings), f"{kernel.name} at {label}: bindings do not match"
        self.launches.append(Launch(kernel, tuple(bindings), tuple(params), grid, label, embeddings))

    # --- tokens -----------------------------------------------------------------------------------------

    def _embed(self, step: Embed) -> None:
        stored = self._shared.stored
        form = stored.format_of(step.table)
        width = step.table.shape[1]
        pieces, buffers = stored.pieces(step.table)
        self._shared.buffers.update(buffers)
        out = self._value(step.out)
        kernel = KernelSource(
            "embed/embed",
            (("format", form), ("ragged", width % BLOCK != 0)),
            (read("ids", "u32"), *plane_bindings(form), write("out", "vec4<f32>")),
            (
                ("first_row", "u32"),
                ("rows", "u32"),
                ("pad", "u32"),
                ("masked_count", "u32"),
                ("masked", "array<vec4<u32>, 2>"),
            ),
            (
                ("K", width),
                ("BLOCKS", -(-width // BLOCK)),
                ("COLUMNS", step.columns),
                ("SCALE", float(step.scale)),
                *((("GROUPS", step.table.groups),) if step.table.bits else ()),
            ),
        )
        masked = [*step.replaced, *[0] * (8 - len(step.replaced))]
        grid: tuple[Expr, Expr, Expr] = (-(-step.columns // (BLOCK * 64)), "T", 1)
        rows = self._host_rows(step)
        for piece in pieces:
            params = (piece.first, piece.rows, step.replacement, len(step.replaced), *masked)
            embeddings: Residence | None = "gpu" if rows else None
            self._launch(kernel, ("ids", *piece.buffers.values(), out), params, grid, step.label, embeddings)
        if rows:
            # The rows on the GPU are a table of their own, and the token's slot is the id.
            params = (0, self._shared.host_slots, *[0] * 10)
            self._launch(kernel, ("slots", *rows, out), params, grid, step.label, "host")

    def _host_rows(self, step: Embed) -> list[str]:
        """Declare and return the buffers, by plane, for rows of embeddings on the host; none for other tables."""
        shared = self._shared
        if step.table.name not in shared.looked_up or not shared.host_slots:
            return []
        rows = shared.stored.host_rows(step.table, shared.host_slots, step.replaced, step.replacement)
        named = {f"{step.table.name}:{plane}:rows": buffer for plane, buffer in rows.items()}
        shared.buffers.update({**named, "slots": ControlBuffer(role="slots", bytes=4 * shared.fill_tokens)})
        return list(named)

    def _insert_rows(self, step: InsertRows) -> None:
        width = known(step.x.shape[-1])
        kernel = KernelSource(
            "embed/insert_rows",
            (),
            (read("ids", "u32"), read("media", "f32"), write("x", "f32")),
            (("count", "u32"), ("placeholders", "array<vec4<u32>, 2>")),
            (("WIDTH", width),),
        )
        # An array in a uniform begins at a multiple of 16 bytes.
        params = (len(step.placeholders), 0, 0, 0, *step.placeholders, *[0] * (8 - len(step.placeholders)))
        names = ("ids", step.rows.name, step.x.name)
        self._launch(kernel, names, params, (-(-width // 64), "T", 1), step.label)

    # --- matrices ---------------------------------------------------------------------------------------

    def _matmul(self, step: Matmul) -> None:
        pieces, buffers = self._shared.stored.pieces(step.weight)
        if step.epilogue in _GATED and (len(pieces) > 1 or len(set(self._input_scales(step))) > 1):
            self._matmul_then_glu(step)
            return
        self._shared.buffers.update(buffers)
        out = self._value(step.out)
        self._products[out] = step
        for run in self._runs(step):
            kernel = self._matmul_kernel(step, run)
            for piece in pieces:
                start, stop = max(run.first, piece.first), min(run.stop, piece.first + piece.rows)
                if start < stop:
                    self._launch_matmul(kernel, step, run, piece, start, stop, out)

    def _launch_matmul(
        self, kernel: KernelSource, step: Matmul, run: _Run, piece: Piece, start: int, stop: int, out: str
    ) -> None:
        """Launch the product with rows start … stop - 1, which are all in `piece`."""
        rows = (step.row_stop - step.row_start) // (2 if step.epilogue in _GATED else 1)
        offset, width = (step.operand.index * rows, step.operand.count * rows) if step.operand else (0, 0)
        columns = step.weight.shape[1]
        common = (rows, offset, width, rows, float_bits(step.factor), columns, -(-columns // BLOCK))
        begin = (self._first_row(step.x), self._first_row(step.out))
        filling = (*self._row_params(step.out), *begin, *self._ends(step, run)) if self._fill else ()
        bias = () if step.bias is None else (self._weight(step.bias),)
        operand = () if step.operand is None else (step.operand.value.name,)
        per_group = DECODE_ROWS if not self._fill else _tile_rows(step.epilogue in _GATED)
        groups = -(-(stop - start) // per_group)
        grid: tuple[Expr, Expr, Expr] = _spread(groups)
        if self._fill:
            grid = (groups, ("ceildiv", self._row_count(step.out), TILE_TOKENS), 1)
        step_binding = ("step",) if self._fill or self._tokens > 1 else ()
        self._launch(
            kernel,
            (run.x, *piece.buffers.values(), *operand, *bias, *step_binding, out),
            (
                *(start - piece.first, stop - start, start - step.row_start, *common),
                *(*filling, *self._range_params(step, run)),
            ),
            grid,
            step.label,
        )

    # --- rows -------------------------------------------------------------------------------------------

    def _row_params(self, value: Value) -> tuple[int, int]:
        """Return the value's rows from the part's first on: rows per token, and fixed rows."""
        per_token, fixed = row_counts(value)
        if self._part and value.name in self._part.values:
            return per_token, -self._part.first % 2**32  # unsigned: fewer rows by part.first
        return per_token, fixed

    def _row_count(self, value: Value) -> Expr:
        """Return the number of rows of the value that a launch computes."""
        per_token, fixed = row_counts(value)
        count = times(per_token, "T") if per_token else fixed
        if self._part and value.name in self._part.values:
            # A smaller image has no rows in this part, and its dispatch is left out.
            return ("min", self._part.rows, ("max", 0, ("-", count, self._part.first)))
        return count

    def _first_row(self, value: Value) -> int:
        """Return the value's first row of a launch."""
        return 0 if self._part is None or value.name in self._part.inside else self._part.first

    # --- rounded activations ----------------------------------------------------------------------------

    def _input_scales(self, step: Matmul) -> list[float]:
        """Return the input scale of each source of the matrix; empty without rounding."""
        return [] if step.ranges is None else self._shared.stored.values(step.ranges[0])

    def _runs(self, step: Matmul) -> list[_Run]:
        """Divide the matrix's rows into runs. Neighbouring sources with one input scale share a run, so x is rounded
        once."""
        rows = (step.row_stop - step.row_start) // (2 if step.epilogue in _GATED else 1)
        last = step.row_start + rows
        runs: list[_Run] = []
        stop = 0
        for size, scale in zip(step.weight.parts, self._input_scales(step), strict=False):
            first, stop = max(stop, step.row_start), stop + size
            if runs and runs[-1].scale == scale:
                runs[-1] = replace(runs[-1], stop=min(stop, last))
            elif first < min(stop, last):
                x = self._round(step, scale) if scale else step.x.name
                runs.append(_Run(first, min(stop, last), x, scale))
        return runs or [_Run(step.row_start, last, step.x.name)]

    def _round(self, step: Matmul, scale: float) -> str:
        """Return the name of x in signed bytes. x is rounded once for all readers with the same scale."""
        width = step.weight.shape[1]
        words = -(-width // BLOCK) * 8
        stride = 8 // CODE_BITS[self._shared.stored.format_of(step.weight)]
        per_token, fixed = self._row_params(step.x)
        affine = () if step.affine is None else tuple(map(float_bits, step.affine))
        bounds = () if step.x_bounds is None else self._bounds(step.x_bounds)
        params = (per_token, fixed, float_bits(scale), float_bits(step.x_factor), *affine, *bounds)
        out = ".".join(map(str, (step.x.name, "rounded", stride, *params[1:])))
        if out in self.sizes:
            return out
        self._declare(out, step.x, 4 * words)
        names = ("x_factor", "x_offset") if affine else ("x_low", "x_high") if bounds else ()
        kernel = KernelSource(
            "round/round",
            (("affine", bool(affine)), ("clipped", bool(bounds))),
            (read("x", "f32"), STEP, write("out", "u32")),
            tuple((name, "u32") for name in ("rows_per_token", "fixed_rows", "scale", "factor", *names)),
            (("WIDTH", width), ("WORDS", words), ("STRIDE", stride)),
        )
        grid: tuple[Expr, Expr, Expr] = (-(-words // 64), self._row_count(step.x), 1)
        self._launch(kernel, (step.x.name, "step", out), params, grid, step.label)
        return out

    def _range_params(self, step: Matmul, run: _Run) -> tuple[int, ...]:
        if step.ranges is None:
            return ()
        assert step.bias is None, f"{step.label}: a bias would be rounded with the product"
        scales = self._shared.stored.values(step.ranges[1])
        assert len(scales) <= 3, f"{step.weight.name} has {len(scales)} sources"
        ends = [max(sum(step.weight.parts[: i + 1]) - step.row_start, 0) for i in range(len(scales) - 1)]
        scales += scales[-1:] * (3 - len(scales))
        ends += [0xFFFFFFFF] * (2 - len(ends))
        first, second, third = map(float_bits, scales)
        return (float_bits(run.scale), first, ends[0], second, ends[1], third)

    def _ends(self, step: Matmul, run: _Run) -> tuple[int, ...]:
        """Return the params of a tower's affine and clamps. Rounding, if any, has applied the affine already."""
        line = () if step.affine is None or run.scale else tuple(float_bits(value) for value in step.affine)
        bounds = (*self._bounds(step.x_bounds), *self._bounds(step.bounds)) if step.x_bounds or step.bounds else ()
        return (*line, *bounds)

    def _bounds(self, bounds: Bounds | None) -> tuple[int, int]:
        low, high = (-INFINITE, INFINITE) if bounds is None else map(self._shared.stored.scalar, bounds)
        return float_bits(low), float_bits(high)

    def _matmul_kernel(self, step: Matmul, run: _Run) -> KernelSource:
        form = self._shared.stored.format_of(step.weight)
        columns = step.weight.shape[1]
        blocks = -(-columns // BLOCK)
        structure: dict[str, str | int | bool] = {
            "experts": False,
            "format": form,
            "epilogue": step.epilogue,
            "ragged": columns % BLOCK != 0 and not run.scale,
            "codes": run.scale != 0.0,
            "ranged": step.ranges is not None,
        }
        affine, clipped = (
            step.affine is not None and not run.scale,
            step.x_bounds is not None or step.bounds is not None,
        )
        params = _FILL_PARAMS if self._fill else _MATMUL_PARAMS
        if self._fill:
            structure |= {"tile": TILE_TOKENS, "affine": affine, "clipped": clipped}
            structure |= {"bias": step.bias is not None}
            params += tuple((name, "u32") for name in ("x_factor", "x_offset") if affine)
            params += tuple((name, "u32") for name in ("x_low", "x_high", "low", "high") if clipped)
        else:
            structure |= {
                "tokens": self._tokens,
                "rows": DECODE_ROWS,
                "wg": _matmul_invocations(blocks if self._tokens == 1 else 4 * blocks),
            }
        constants: dict[str, int | float] = {} if self._fill else {"K": columns, "BLOCKS": blocks}
        if step.epilogue == "softcap":
            constants["CAP"] = float(step.cap)
        params += _RANGE_PARAMS if step.ranges else ()
        needs_step = self._fill or self._tokens > 1
        return KernelSource(
            "matmul/matmul-fill" if self._fill else "matmul/matmul-decode",
            tuple(structure.items()),
            (
                read("x", "u32" if run.scale else "vec4<f32>"),
                *plane_bindings(form),
                *([read("operand", "f32")] if step.operand else []),
                *([read("bias", "f32")] if step.bias else []),
                *([STEP] if needs_step else []),
                write("out", "f32"),
            ),
            params,
            tuple(constants.items()),
            reduces=not self._fill,
        )

    def _matmul_then_glu(self, step: Matmul) -> None:
        """Multiply first, then gate: partners may be in different pieces."""
        both = Value(f"{step.out.name}.both", (*step.out.shape[:-1], step.row_stop - step.row_start))
        self._matmul(replace(step, out=both, epilogue="none"))
        self._glu(Glu(both, step.out, step.label, step.epilogue))

    def _glu(self, step: Glu) -> None:
        width = known(step.out.shape[-1])
        per_token, _ = row_counts(step.out)
        out = self._value(step.out)
        kernel = KernelSource(
            "glu/glu",
            (("sigmoid", step.epilogue == "sigmoid_glu"),),
            (read("x", "f32"), write("out", "f32")),
            constants=(("WIDTH", width),),
        )
        self._launch(kernel, (step.x.name, out), (), (-(-width // 64), times(per_token, "T"), 1), step.label)

    # --- experts ----------------------------------------------------------------------------------------

    def _route(self, step: Route) -> None:
        """Launch the choice of each token's experts; in `fill`, also the sorting of tokens by expert."""
        active, experts = known(step.ids.shape[1]), known(step.scores.shape[1])
        weights, ids = self._value(step.weights), self._value(step.ids)
        kernel = KernelSource(
            "experts/route",
            (("active", active),),
            (read("scores", "f32"), read("expert_scale", "f32"), write("weights", "f32"), write("chosen", "u32")),
            constants=(("EXPERTS", experts),),
        )
        names = (step.scores.name, self._weight(step.expert_scale), weights, ids)
        self._launch(kernel, names, (), ("T", 1, 1), step.label)
        if self._fill:
            order, tiles = _buckets(ids)
            most = self._tokens * active
            self.sizes[order] = 4 * most
            self.sizes[tiles] = 16 * (-(-most // EXPERT_TOKENS) + min(most, experts))
            kernel = KernelSource(
                "experts/bucket",
                (("experts", experts),),
                (read("chosen", "u32"), STEP, write("order", "u32"), write("tiles", "vec4<u32>")),
                constants=(("ACTIVE", active),),
            )
            self._launch(kernel, (ids, "step", order, tiles), (), (1, 1, 1), step.label)

    def _expert_matmul(self, step: ExpertMatmul) -> None:
        pieces, buffers = self._shared.stored.pieces(step.weight)
        self._shared.buffers.update(buffers)
        experts, expert_rows, columns = step.weight.shape
        active = known(step.ids.shape[1])
        out = self._value(step.out)
        rows = known(step.out.shape[2])
        sharing = active if len(step.x.shape) == 2 else 1
        kernel = self._expert_kernel(step, columns)
        pairs = times(active, "T")
        for piece in pieces:
            # _MATMUL_PARAMS: all rows of the expert, the columns of out, partners `rows` further on, factor 1.
            common = (0, rows, 0, rows, 0, 0, rows, float_bits(1.0), columns, -(-columns // BLOCK))
            own = (piece.first, piece.rows, expert_rows, sharing)
            if self._fill:
                groups = -(-rows // _tile_rows(step.epilogue == "glu"))
                most: Expr = ("+", ("ceildiv", pairs, EXPERT_TOKENS), ("min", pairs, experts))
                names = [step.x.name, *piece.buffers.values(), *_buckets(step.ids.name), out]
                self._launch(kernel, names, (*common, 0, 0, 0, 0, *own), (groups, most, 1), step.label)
            else:
                names = [step.x.name, *piece.buffers.values(), step.ids.name, out]
                self._launch(kernel, names, (*common, *own), (-(-rows // DECODE_ROWS), pairs, 1), step.label)

    def _expert_kernel(self, step: ExpertMatmul, columns: int) -> KernelSource:
        form = self._shared.stored.format_of(step.weight)
        blocks = -(-columns // BLOCK)
        structure: dict[str, str | int | bool] = {
            "experts": True,
            "format": form,
            "epilogue": step.epilogue,
            "ragged": columns % BLOCK != 0,
            "codes": False,
            "ranged": False,
        }
        own = tuple((name, "u32") for name in ("first_expert", "experts", "expert_rows", "sharing"))
        if self._fill:
            structure |= {"tile": EXPERT_TOKENS, "affine": False, "clipped": False, "bias": False}
            lists = [read("order", "u32"), read("tiles", "vec4<u32>")]
        else:
            structure |= {"tokens": 1, "rows": DECODE_ROWS, "wg": _matmul_invocations(blocks)}
            lists = [read("chosen", "u32")]
        return KernelSource(
            "matmul/matmul-fill" if self._fill else "matmul/matmul-decode",
            tuple(structure.items()),
            (
                read("x", "vec4<f32>"),
                *plane_bindings(form),
                *lists,
                write("out", "f32"),
            ),
            (*(_FILL_PARAMS if self._fill else _MATMUL_PARAMS), *own),
            () if self._fill else (("K", columns), ("BLOCKS", blocks)),
            reduces=not self._fill,
        )

    def _combine_experts(self, step: CombineExperts) -> None:
        width = known(step.out.shape[-1])
        kernel = KernelSource(
            "experts/combine",
            (("wg", _norm_invocations(width)),),
            (
                read("dense", "vec4<f32>"),
                read("dense_norm", "vec4<f32>"),
                read("slots", "vec4<f32>"),
                read("weights", "f32"),
                read("combined_norm", "vec4<f32>"),
                write("out", "vec4<f32>"),
            ),
            constants=(("WIDTH", width), ("ACTIVE", known(step.weights.shape[1])), ("EPS", float(step.eps))),
            reduces=True,
        )
        names = (
            step.dense.name,
            self._weight(step.dense_norm),
            step.slots.name,
            step.weights.name,
            self._weight(step.combined_norm),
            self._value(step.out),
        )
        self._launch(kernel, names, (), ("T", 1, 1), step.label)

    # --- norms ------------------------------------------------------------------------------------------

    def _add_norm(self, step: AddNorm) -> None:
        shape = (step.normed or step.sum or step.x).shape
        width = shape[-1]
        assert isinstance(width, int) and width % 4 == 0, f"{step.label}: width {width}"
        rows_per_token = row_counts(step.x)[0] * prod(known(dim) for dim in shape[1:-1])
        guarded = (step.y_factor, step.y_bound, step.sum_bound) != (1.0, INFINITE, INFINITE)
        factor = step.factor * (1.0 if step.scalar is None else self._shared.stored.scalar(step.scalar))
        bindings: list[tuple[Binding, str]] = [(read("x", "vec4<f32>"), step.x.name)]
        if step.y is not None:
            bindings.append((read("y", "vec4<f32>"), step.y.name))
        if step.norm is not None:
            bindings.append((read("norm", "vec4<f32>"), self._weight(step.norm)))
        if step.next_norm is not None:
            bindings.append((read("next_norm", "vec4<f32>"), self._weight(step.next_norm)))
        bindings.append((STEP, "step"))
        if step.sum is not None:
            bindings.append((write("sum", "vec4<f32>"), self._value(step.sum)))
        if step.normed is not None:
            bindings.append((write("normed", "vec4<f32>"), self._value(step.normed)))
            self._norms[step.normed.name] = step.next_norm
        if step.second is not None and step.second_norm is not None:
            bindings.append((read("second_norm", "vec4<f32>"), self._weight(step.second_norm)))
            bindings.append((write("second", "vec4<f32>"), self._value(step.second)))
        kernel = KernelSource(
            "add_norm/add_norm",
            (
                ("has_y", step.y is not None),
                ("has_sum", step.sum is not None),
                ("has_normed", step.normed is not None),
                ("plain_y", step.y is not None and step.norm is None),
                ("unweighted", step.normed is not None and step.next_norm is None),
                ("guarded", guarded),
                ("second", step.second is not None),
                ("each", -(-width // (4 * _norm_invocations(width)))),
                ("wg", _norm_invocations(width)),
            ),
            tuple(binding for binding, _ in bindings),
            tuple((name, "u32") for name in ("rows_per_token", "scalar", *(_GUARDS if guarded else ()))),
            (("WIDTH", width), ("EPS", float(step.eps))),
            reduces=True,
        )
        guards = (step.y_factor, step.y_bound, step.sum_bound) if guarded else ()
        params = (rows_per_token, float_bits(factor), *map(float_bits, guards))
        rows = times(rows_per_token, "T")
        grid: tuple[Expr, Expr, Expr] = (("min", rows, 65535), ("ceildiv", rows, 65535), 1)
        names = [name for _, name in bindings]
        self._launch(kernel, names, params, grid, step.label)

    # --- attention --------------------------------------------------------------------------------------

    def _qkv_heads(self, step: QkvHeads) -> None:
        size, cached = step.head_size, self._shared.activation
        kv_heads = 0 if step.cache is None else step.cache.kv_heads
        parts = step.heads + kv_heads * (1 if step.v_is_k else 2)
        segments: list[Segment | None] = [None]
        scales = CacheScales()
        if step.cache is not None:
            scales = self._shared.scales[step.cache.name] = self._cache_scales(step)
            segments = [*self._shared.segments(step.cache)]
        if step.q is not None:
            self._value(step.q)
        constants: dict[str, int | float] = {
            "ROW": parts * size,
            "PAIRS": step.rotated_pairs,
            "LOW": low_size(self._shared.context),
            "EPS": float(step.eps),
        }
        bindings = [read("qkv", "f32"), read("angles", "vec2<f32>"), STEP]
        angles = self._shared.angles(step.theta, size, step.rotated_pairs, self._shared.context, step.factor)
        names = [step.qkv.name, angles, "step"]
        if step.q is not None and step.q_norm is not None:
            bindings += [read("q_norm", "f32"), write("q", "f32")]
            names += [self._weight(step.q_norm), step.q.name]
            constants["HEADS"] = step.heads
        if step.k_norm is not None:
            bindings += [read("k_norm", "f32"), write("keys", cached), write("values", cached)]
            names += [self._weight(step.k_norm)]
            constants["KV_HEADS"] = kv_heads
        for segment in segments:
            kernel = KernelSource(
                "qkv_heads/qkv_heads",
                (
                    ("cache", cached if segment else False),
                    ("size", size),
                    ("has_q", step.q is not None),
                    ("has_kv", segment is not None),
                    ("v_is_k", step.v_is_k),
                    ("v_normed", step.v_normed),
                    ("ring", segment is not None and segment.ring),
                    ("wg", 64 if size <= 256 else 128),
                ),
                tuple(bindings),
                _cache_params("key_scale", "value_scale") if segment else (),
                tuple(constants.items()),
                reduces=True,
            )
            cache_names = [segment.keys, segment.values] if segment else []
            ways = (float_bits(scales.keys), float_bits(scales.values))
            params = (segment.first, segment.rows, *ways) if segment else ()
            tokens: Expr = "T"
            if segment and not segment.ring and len(segments) > 1:
                tokens = ("*", "T", _touches(segment))
            groups = step.heads + 2 * kv_heads
            self._launch(kernel, [*names, *cache_names], params, (groups, tokens, 1), step.label)

    def _cache_scales(self, step: QkvHeads) -> CacheScales:
        """Return the scales of the step's cache; 1 for f32."""
        if self._shared.activation == "f32" or step.k_norm is None:
            return CacheScales()
        keys = normed_bound(step.head_size, self._shared.stored.vector(step.k_norm))
        values = normed_bound(step.head_size, None) if step.v_normed else self._value_bound(step)
        return CacheScales(cache_scale(keys), cache_scale(values))

    def _value_bound(self, step: QkvHeads) -> float:
        """Return the bound of the values of a cache whose values go through no norm."""
        product = self._products.get(step.qkv.name)
        if product is None or product.x.name not in self._norms or step.cache is None:
            raise CheckpointError(
                f"{step.label}: values that go through no norm must come from a matrix after a norm, which bounds "
                "them: this model cannot be compiled for a browser tab by this version of gemtab."
            )
        stored, count = self._shared.stored, step.cache.kv_heads * step.head_size
        before = product.row_start + (step.heads + step.cache.kv_heads) * step.head_size
        rows = stored.rows(product.weight, before, before + count)
        norm = self._norms[product.x.name]
        return product_bound(rows, None if norm is None else stored.vector(norm)) * abs(product.factor)

    def _attend(self, step: Attend) -> None:
        if self._fill or step.visible is not None or not self._attend_in_splits(step):
            self._attend_by_tokens(step)

    def _attend_in_splits(self, step: Attend) -> bool:
        """Launch attention in splits: several workgroups per token, and a merge. Return whether the limits allow it."""
        cache, shape = step.cache, shape_of(step, self._shared.activation)
        if shape is None:
            return False
        segments, scales = self._shared.segments(cache), self._shared.scales[cache.name]
        bounds = [(one.first, one.rows) for one in segments]
        splits = splits_of(step, shape, bounds, self._tokens, self._shared.limits.maxStorageBufferBindingSize)
        if splits is None:
            return False
        out, parts = self._value(step.out), f"{step.out.name}.parts"
        self.sizes[parts] = parts_bytes(step, splits.slots, self._tokens)
        kernel = split_kernel(step, shape, splits, segments[0].ring)
        for segment, piece in zip(segments, splits.pieces, strict=True):
            names = (step.q.name, segment.keys, segment.values, "step", parts)
            params = (segment.first, segment.rows, float_bits(1 / scales.keys), piece.base)
            self._launch(kernel, names, params, (step.heads // shape.heads, piece.splits, "T"), step.label)
        chunks = -(-cache.head_size // MERGED_ELEMENTS)
        merge = merge_kernel(step, splits)
        self._launch(merge, (parts, out), (float_bits(1 / scales.values),), (step.heads, chunks, "T"), step.label)
        return True

    def _attend_by_tokens(self, step: Attend) -> None:
        """Launch attention with one workgroup per head and token, enough for many tokens."""
        size, cache, cached = step.cache.head_size, step.cache, self._shared.activation
        segments, scales = self._shared.segments(cache), self._shared.scales[cache.name]
        carried = len(segments) > 1
        out = self._value(step.out)
        bindings = [read("q", "vec4<f32>"), read("keys", f"vec4<{cached}>"), read("values", cached), STEP]
        if step.visible is not None:
            bindings.append(read("visible", "u32"))
        bindings.append(write("out", "f32"))
        carry = f"{step.out.name}.carry"
        if carried:
            bindings.append(write("carry", "f32"))
            self.sizes[carry] = self._tokens * step.heads * (size + 2) * 4
        constants: dict[str, int | float] = {
            "HEADS": step.heads,
            "KV_HEADS": cache.kv_heads,
            "SCALE": float(step.scale),
        }
        if cache.window is not None:
            constants["WINDOW"] = cache.window
        kernel = KernelSource(
            "attention/attention",
            (
                ("cache", cached),
                ("size", size),
                ("window", cache.window is not None),
                ("visible", step.visible is not None),
                ("ring", segments[0].ring),
                ("carried", carried),
                ("wg", 64),
            ),
            tuple(bindings),
            _cache_params("key_unit", "value_unit"),
            tuple(constants.items()),
            reduces=True,
        )
        units = (float_bits(1 / scales.keys), float_bits(1 / scales.values))
        for segment in segments:
            # Before the conversation gets to a segment, the grid is empty, and the dispatch is left out.
            reached: Expr = ("min", 1, ("max", 0, ("-", ("+", "P", "T"), segment.first)))
            tokens: Expr = ("*", "T", reached) if carried else "T"
            names = [step.q.name, segment.keys, segment.values, "step"]
            names += [*([] if step.visible is None else ["visible"]), out, *([carry] if carried else [])]
            self._launch(kernel, names, (segment.first, segment.rows, *units), (step.heads, tokens, 1), step.label)

    # --- the end of a program ---------------------------------------------------------------------------

    def advance(self) -> None:
        """Launch the advance of the position past this step's tokens."""
        kernel = KernelSource("sample/advance", (), (write("step", "u32"),))
        self._launch(kernel, ("step",), (), (1, 1, 1), "advance")

    def sample(self, logits: Value) -> None:
        """Launch the choice of the next id from logits [1, vocabulary], and the advance of the position."""
        vocabulary = logits.shape[-1]
        assert isinstance(vocabulary, int)
        groups = -(-vocabulary // MAXIMA_GROUP)
        slices = groups * (MAXIMA_GROUP // MAXIMA_SLICE)
        self.sizes |= {"best": groups * 8, "maxima": slices * 4, "candidates": FOUND_CANDIDATES * 8}
        maxima = KernelSource(
            "sample/maxima",
            (),
            (read("logits", "f32"), write("maxima", "u32"), write("best", "vec2<u32>")),
            constants=(("VOCABULARY", vocabulary), ("GROUP", MAXIMA_GROUP), ("SLICE", MAXIMA_SLICE)),
        )
        self._launch(maxima, (logits.name, "maxima", "best"), (), (groups, 1, 1), "sample")
        choose = KernelSource(
            "sample/sample",
            (("limit", MAX_CANDIDATES),),
            (
                read("logits", "f32"),
                read("maxima", "u32"),
                read("best", "vec2<u32>"),
                read("sampling", "u32"),
                write("candidates", "vec2<u32>"),
                write("ids", "u32"),
                write("step", "u32"),
                write("sampled", "u32"),
            ),
            constants=(
                ("VOCABULARY", vocabulary),
                ("GROUPS", groups),
                ("GROUP", MAXIMA_GROUP),
                ("SLICES", slices),
                ("SLICE", MAXIMA_SLICE),
                ("CANDIDATES", FOUND_CANDIDATES),
                ("SAMPLED", SAMPLED_RING),
            ),
        )
        names = (logits.name, "maxima", "best", "sampling", "candidates", "ids", "step", "sampled")
        self._launch(choose, names, (), (1, 1, 1), "sample")


def _tile_rows(gated: bool) -> int:
    """Return the rows of a matrix per workgroup of `fill`, without the partners of a gated unit."""
    return TILE_ROWS // 2 if gated else TILE_ROWS


def _matmul_invocations(blocks: int) -> int:
    """Return the invocations that multiply a row of `blocks` blocks by a vector. Few for few blocks, since a software
    GPU also spends time on idle invocations."""
    if blocks <= 16:
        return 4 if blocks <= 4 else 8 if blocks <= 8 else 16
    return 32 if blocks <= 48 else 64 if blocks <= 128 else 128


def _norm_invocations(width: int) -> int:
    """Return the invocations that norm a row of `width` elements."""
    return 32 if width <= 256 else 128 if width < 2048 else 256


def _cache_params(*factors: str) -> tuple[tuple[str, str], ...]:
    """Return the params of a kernel that binds a segment of a cache. factors: names of f32 params."""
    return tuple((name, "u32") for name in ("first_row", "rows", *factors))


def _buckets(ids: str) -> tuple[str, str]:
    """Return the names of `order` and `tiles` of experts/bucket for the experts `ids`."""
    return f"{ids}.order", f"{ids}.tiles"


def _touches(segment: Segment) -> Expr:
    """Return 1 if one of the step's positions P … P + T - 1 is in the segment, else 0."""
    before_end: Expr = ("max", 0, ("-", segment.first + segment.rows, "P"))
    past_start: Expr = ("max", 0, ("-", ("+", "P", "T"), segment.first))
    return ("min", 1, ("min", before_end, past_start))


def plane_bindings(form: StorageFormat) -> list[Binding]:
    """Return the bindings of the planes of a weight in a format."""
    if form in CODE_BITS:
        codes = read("codes", "vec2<u32>" if form == "rows2" else "vec4<u32>")
        return [codes, read("scales", "u32" if form in ("q4", "q8") else "f32")]
    return [read("values", "vec2<u32>" if form == "f16" else "vec4<f32>")]


def media_buffers(graph: Graph, tokens: int) -> dict[str, Buffer]:
    """Return the control buffers by which media enter `graph`, for steps of at most `tokens` tokens."""
    width = {value.name: known(value.shape[-1]) for value in graph.inputs if value.name == "media"}
    buffers: dict[str, Buffer] = {
        name: ControlBuffer(role="media", bytes=4 * tokens * size) for name, size in width.items()
    }
    if any(value.name == "visible" for value in graph.inputs):
        buffers["visible"] = ControlBuffer(role="visible", bytes=4 * tokens)
    return buffers


def control_buffers(max_tokens: int) -> dict[str, Buffer]:
    """Return the control buffers that executor and programs share."""
    return {
        "ids": ControlBuffer(role="ids", bytes=4 * max_tokens),
        "step": ControlBuffer(role="step", bytes=16),
        "sampling": ControlBuffer(role="sampling", bytes=16),
        "sampled": ControlBuffer(role="sampled", bytes=4 * SAMPLED_RING),
    }
