"""Lowering of towers: turns the steps that only towers have into launches of kernels.

A tower takes all patches or frames at once. Matrix products use the kernels of `fill`, and scratch sizes are
expressions in T. Only the inner values of a gated MLP, which have the longest rows, have at most MLP_ROWS rows: a large
image is processed in parts.
"""

from collections.abc import Sequence

from gemtab.backends.sinusoids import sinusoids
from gemtab.backends.webgpu.lower import (
    STEP,
    Lowering,
    Part,
    Shared,
    plane_bindings,
    read,
    row_counts,
    times,
    write,
)
from gemtab.backends.webgpu.render import Binding, KernelSource
from gemtab.backends.webgpu.rope_tables import low_size
from gemtab.backends.webgpu.steps import (
    AddPositions,
    Depthwise,
    FullAttend,
    LayerNorm,
    LocalAttend,
    Matmul,
    Pool,
    RopeHeads,
    Sinusoids,
    Step,
    Subsample,
)
from gemtab.backends.webgpu.tiles import TILE_TOKENS
from gemtab.bundle.plan import Expr, Residence
from gemtab.graph import Value, known
from gemtab.quantize import BLOCK

MAX_POSITIONS = 16_384
"""Positions per axis of the angle tables: more than an image has patches."""

_QUERIES = 2560
"""Queries per dispatch of full_attention. Its time is quadratic in the patches: with all queries of a large image, a
slow GPU would exceed the time that Windows allows."""


MLP_ROWS = 2560
"""Rows of the inner values of a gated MLP."""


class TowerLowering(Lowering):
    """Lowers the steps of a tower's only program.

    tokens: most soft tokens. fixed: names of values whose size does not depend on T.
    """

    def __init__(self, shared: Shared, tokens: int) -> None:
        super().__init__(shared, tokens, fill=True)
        self.fixed: set[str] = set()
        self.partial: dict[str, int] = {}
        """Bytes per soft token of values that are computed in parts, for images of a single part."""

    def lower(self, steps: Sequence[Step], inputs: Sequence[Value] = ()) -> None:
        """Append the launches of `steps`. inputs: f32 or i32 values that the caller will write."""
        for value in inputs:
            self._value(value)
        at = 0
        while at < len(steps):
            mlp = _gated_mlp(steps[at : at + 3])
            if mlp:
                self._in_parts(mlp)
            else:
                self._lower_step(steps[at])
            at += max(len(mlp), 1)

    def _lower_step(self, step: Step) -> None:
        match step:
            case AddPositions():
                self._add_positions(step)
            case LayerNorm():
                self._layer_norm(step)
            case RopeHeads():
                self._rope_heads(step)
            case FullAttend():
                self._full_attend(step)
            case Pool():
                self._pool(step)
            case Subsample():
                self._subsample(step)
            case Depthwise():
                self._depthwise(step)
            case Sinusoids():
                self._sinusoids(step)
            case LocalAttend():
                self._local_attend(step)
            case _:
                super()._lower_step(step)

    def _value(self, value: Value) -> str:
        if not row_counts(value)[0]:
            self.fixed.add(value.name)
        return super()._value(value)

    # --- rows in parts ----------------------------------------------------------------------------------

    def _in_parts(self, mlp: list[Matmul]) -> None:
        """Lower the matrices of a gated MLP in parts."""
        up, gate, down = mlp
        row_bytes = 4 * max(known(step.out.shape[-1]) for step in (up, gate))
        most = self._shared.limits.maxStorageBufferBindingSize // row_bytes // TILE_TOKENS * TILE_TOKENS
        rows = min(MLP_ROWS, most)
        inside = frozenset((up.out.name, gate.out.name)) if rows else frozenset()
        total = row_counts(up.out)[0] * self._tokens
        for first in range(0, total, rows or total):
            self._part = Part(first, rows or total, inside, inside | {down.out.name})
            for step in mlp:
                self._lower_step(step)
        self._part = None

    def _declare(self, name: str, like: Value, row_bytes: int) -> None:
        super()._declare(name, like, row_bytes)
        if self._part and like.name in self._part.inside:
            self.partial[name] = row_counts(like)[0] * row_bytes
            self.sizes[name] = min(self.sizes[name], self._part.rows * row_bytes)

    def _launch(
        self,
        kernel: KernelSource,
        bindings: Sequence[str],
        params: Sequence[int],
        grid: tuple[Expr, Expr, Expr],
        label: str,
        embeddings: Residence | None = None,
    ) -> None:
        for name in bindings:
            made = name in self.sizes or name in self._shared.buffers or name in self._shared.tables or name == "step"
            assert made, f"{kernel.name} at {label} reads {name} before it is made"
        super()._launch(kernel, bindings, params, grid, label, embeddings)

    # --- images -----------------------------------------------------------------------------------------

    def _add_positions(self, step: AddPositions) -> None:
        stored = self._shared.stored
        form, width = stored.format_of(step.table), step.table.shape[1]
        pieces, buffers = stored.pieces(step.table)
        self._shared.buffers.update(buffers)
        kernel = KernelSource(
            "embed_positions/embed_positions",
            (("format", form), ("ragged", width % BLOCK != 0)),
            (read("positions", "vec2<u32>"), *plane_bindings(form), write("x", "vec4<f32>")),
            tuple((name, "u32") for name in ("first_row", "rows", "position_step", "axis_step")),
            (("K", width), ("BLOCKS", -(-width // BLOCK))),
        )
        grid: tuple[Expr, Expr, Expr] = (-(-width // (BLOCK * 64)), _rows(step.x), 1)
        for piece in pieces:
            params = (piece.first, piece.rows, step.position_step, step.axis_step)
            names = (step.positions.name, *piece.buffers.values(), step.x.name)
            self._launch(kernel, names, params, grid, step.label)

    def _layer_norm(self, step: LayerNorm) -> None:
        width = known(step.x.shape[-1])
        assert width % 4 == 0, f"{step.label}: width {width}"
        weights = (self._weight(step.weight), self._weight(step.bias))
        kernel = KernelSource(
            "layer_norm/layer_norm",
            (("wg", 64 if width <= 1024 else 256),),
            (
                read("x", "vec4<f32>"),
                read("weight", "vec4<f32>"),
                read("bias", "vec4<f32>"),
                write("out", "vec4<f32>"),
            ),
            constants=(("WIDTH", width), ("EPS", float(step.eps))),
            reduces=True,
        )
        names = (step.x.name, *weights, self._value(step.out))
        self._launch(kernel, names, (), (1, _rows(step.out), 1), step.label)

    def _rope_heads(self, step: RopeHeads) -> None:
        heads, size = map(known, step.out.shape[1:])
        bindings: list[tuple[Binding, str]] = [(read("x", "f32"), step.x.name)]
        constants: dict[str, int | float] = {"HEADS": heads, "EPS": float(step.eps)}
        if step.norm is not None:
            bindings.append((read("norm", "f32"), self._weight(step.norm)))
        if step.positions is not None:
            angles = self._shared.angles(step.theta, size // 2, size // 4, MAX_POSITIONS)
            bindings.append((read("positions", "vec2<u32>"), step.positions.name))
            bindings.append((read("angles", "vec2<f32>"), angles))
            constants["LOW"] = low_size(MAX_POSITIONS)
        bindings.append((write("out", "f32"), self._value(step.out)))
        kernel = KernelSource(
            "rope_heads/rope_heads",
            (
                ("size", size),
                ("weighted", step.norm is not None),
                ("rope", step.positions is not None),
                ("wg", 32 if size <= 32 else 64),
            ),
            tuple(binding for binding, _ in bindings),
            constants=tuple(constants.items()),
            reduces=True,
        )
        names = [name for _, name in bindings]
        self._launch(kernel, names, (), (heads, _rows(step.out), 1), step.label)

    def _full_attend(self, step: FullAttend) -> None:
        per_token, _ = row_counts(step.out)
        heads, size = map(known, step.out.shape[1:])
        split = _invocations_a_query(size)
        queries = 64 // split
        kernel = KernelSource(
            "full_attention/full_attention",
            (("size", size), ("split", split), ("tile", 16 if size <= 72 else 8)),
            (*(read(name, "vec4<f32>") for name in ("q", "k", "v")), STEP, write("out", "vec4<f32>")),
            (("first_tile", "u32"),),
            (
                ("ROWS", per_token),
                ("HEADS", heads),
                ("KV_HEADS", known(step.k.shape[1])),
                ("SCALE", float(step.scale)),
            ),
        )
        names = (step.q.name, step.k.name, step.v.name, "step", self._value(step.out))
        tiles: Expr = ("ceildiv", _rows(step.out), queries)
        for first in range(0, -(-per_token * self._tokens // queries), _QUERIES // queries):
            # A smaller image has no workgroups here, and its dispatch is left out.
            reached: Expr = ("min", _QUERIES // queries, ("max", 0, ("-", tiles, first)))
            self._launch(kernel, names, (first,), (reached, heads, 1), step.label)

    def _pool(self, step: Pool) -> None:
        width = known(step.out.shape[-1])
        assert width % 4 == 0, f"{step.label}: width {width}"
        vectors = [] if step.mean is None or step.deviation is None else [step.mean, step.deviation]
        standard = [read(name, "vec4<f32>") for name in ("centre", "deviation")] if vectors else []
        kernel = KernelSource(
            "pool/pool",
            (("standardised", bool(vectors)),),
            (
                read("x", "vec4<f32>"),
                read("positions", "vec2<u32>"),
                STEP,
                *standard,
                write("out", "vec4<f32>"),
            ),
            constants=(("WIDTH", width), ("SIDE", step.side), ("FACTOR", float(step.factor))),
        )
        weights = [self._weight(vector) for vector in vectors]
        names = (step.x.name, step.positions.name, "step", *weights, self._value(step.out))
        self._launch(kernel, names, (), (-(-width // 256), "T", 1), step.label)

    # --- audio ------------------------------------------------------------------------------------------

    def _subsample(self, step: Subsample) -> None:
        channels, inputs = step.kernel.shape[:2]
        bins = known(step.x.shape[1])
        kernel = KernelSource(
            "subsample/subsample",
            (
                ("inputs", inputs),
                ("channels", channels),
                ("wg", 32 if channels <= 32 else 64),
            ),
            (*(read(name, "f32") for name in ("x", "kernel", "norm")), STEP, write("out", "f32")),
            constants=(("BINS", bins), ("HALVINGS", step.halvings), ("EPS", float(step.eps))),
            reduces=True,
        )
        weights = (self._weight(step.kernel), self._weight(step.norm))
        names = (step.x.name, *weights, "step", self._value(step.out))
        self._launch(kernel, names, (), (known(step.out.shape[1]), _rows(step.out), 1), step.label)

    def _depthwise(self, step: Depthwise) -> None:
        width = known(step.out.shape[-1])
        kernel = KernelSource(
            "depthwise/depthwise",
            (("wg", 64 if width <= 256 else 256),),
            (*(read(name, "f32") for name in ("x", "kernel", "norm")), write("out", "f32")),
            constants=(
                ("WIDTH", width),
                ("TAPS", step.kernel.shape[-1]),
                ("BOUND", float(step.bound)),
                ("EPS", float(step.eps)),
            ),
            reduces=True,
        )
        weights = (self._weight(step.kernel), self._weight(step.norm))
        names = (step.x.name, *weights, self._value(step.out))
        self._launch(kernel, names, (), (1, _rows(step.out), 1), step.label)

    def _sinusoids(self, step: Sinusoids) -> None:
        count, width = map(known, step.out.shape)
        self._shared.tables[step.out.name] = sinusoids(count, width)

    def _local_attend(self, step: LocalAttend) -> None:
        heads, size = map(known, step.out.shape[1:])
        kernel = KernelSource(
            "local_attention/local_attention",
            (("size", size), ("window", step.window), ("wg", 32)),
            (*(read(name, "f32") for name in ("q", "k", "v", "relative", "dim_scale")), write("out", "f32")),
            constants=(
                ("HEADS", heads),
                ("SCALE", float(step.scale)),
                ("KEY_SCALE", float(step.key_scale)),
                ("CAP", float(step.cap)),
            ),
        )
        values = (step.q.name, step.k.name, step.v.name, step.relative.name)
        names = (*values, self._weight(step.dim_scale), self._value(step.out))
        self._launch(kernel, names, (), (heads, _rows(step.out), 1), step.label)


def _gated_mlp(steps: Sequence[Step]) -> list[Matmul]:
    """Return the matrices of a gated MLP if these three steps are one, else an empty list."""
    matrices = [step for step in steps if isinstance(step, Matmul)]
    if len(matrices) != 3:
        return []
    up, gate, down = matrices
    gated = gate.operand is not None and gate.operand.value == up.out and gate.x == up.x
    return matrices if gated and down.x == gate.out else []


def _invocations_a_query(size: int) -> int:
    """Return the invocations of full_attention that share a query, each with at most 36 elements."""
    return next((split for split in (1, 2, 4) if size % (4 * split) == 0 and size <= 36 * split), 1)


def _rows(value: Value) -> Expr:
    """Return the number of rows of a value."""
    return times(row_counts(value)[0], "T")
