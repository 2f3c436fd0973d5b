"""Attention of a few tokens over a long cache, in splits.

A workgroup attends to one split of the keys, for several query heads of one KV head. A second kernel merges the splits.
With one workgroup per head, as for many tokens, a single token would leave most cores of a GPU idle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.render import Binding, KernelSource, Structure
from gemtab.backends.webgpu.steps import Attend
from gemtab.bundle.plan import Expr

WORKGROUPS = 256
"""Most workgroups of a step: enough for a large GPU. Beyond, more keys make splits longer."""

MAX_SPLITS, MIN_SPLITS = 128, 8
"""Bounds of the most splits of a segment."""

MIN_KEYS_F32 = 64
"""Fewest keys of a split, if caches are f32: see Shape.least."""

QUERY_BYTES = 8192
"""Workgroup memory for the queries, of the 16 KiB that every device has."""

MAX_INVOCATIONS = 256
"""Most invocations of a workgroup that every device allows."""

MAX_HEADS = 8
"""Most query heads of a workgroup. Each head takes registers."""

PAIR, KEY_WORDS = 2, 64
"""Keys that an invocation multiplies at once, and the most registers for them. Each loaded query serves all of them."""

MERGED_ELEMENTS, MERGED_SPLITS = 128, 8
"""Elements of a head per workgroup of the merge, and splits that an invocation loads at once."""


@dataclass(frozen=True)
class Shape:
    """How a split's work is divided among the invocations of a workgroup. The fields are the template's structure.

    heads: query heads. planes: vectors of four elements in one load of keys. lanes: invocations that share a key. pair:
    keys of a tile per invocation. dims: elements of the values that an invocation owns. wg: invocations.
    """

    size: int
    cache: Activation
    heads: int
    planes: int
    lanes: int
    pair: int
    dims: int
    wg: int

    @property
    def tile(self) -> int:
        """Keys that the workgroup processes at a time."""
        return self.wg // self.lanes * self.pair

    @property
    def least(self) -> int:
        """Fewest tiles of a split. More in f32, for software GPUs, where a workgroup is costly."""
        return max(1, MIN_KEYS_F32 // self.tile) if self.cache == "f32" else 1

    @property
    def structure(self) -> Structure:
        """The structure of the template."""
        return tuple(vars(self).items())


def shape_of(step: Attend, activation: Activation) -> Shape | None:
    """Return the shape for a step; None if a head is too large for a workgroup."""
    size, group = step.cache.head_size, step.heads // step.cache.kv_heads
    planes = 2 if activation == "f16" and size % 8 == 0 else 1
    units = size // (4 * planes)
    lanes = 8 if units >= 8 else 4
    if ceil(units / lanes) * PAIR * 4 > KEY_WORDS:
        lanes = 16
    padded = ceil(size / (4 * planes * lanes)) * 4 * planes * lanes
    fitting = [n for n in range(1, MAX_HEADS + 1) if group % n == 0 and 4 * n * padded <= QUERY_BYTES]
    if not fitting:
        return None
    heads = max(fitting)
    dims = 8 if planes == 2 and heads <= 4 else 4
    # f32 caches serve GPUs without f16, most of them software GPUs, which run the invocations one after another.
    wg = 128 if size > 128 and activation == "f16" else 64
    while wg < size // dims:
        wg *= 2
    return Shape(size, activation, heads, planes, lanes, PAIR, dims, wg) if wg <= MAX_INVOCATIONS else None


@dataclass(frozen=True)
class Piece:
    """The splits of one buffer of keys and values.

    base: slot of the first split. slots: most splits. splits: number of splits, an expression in P and T.
    """

    base: int
    slots: int
    splits: Expr


@dataclass(frozen=True)
class Splits:
    """All splits of a step. most: most splits of a piece."""

    most: int
    pieces: tuple[Piece, ...]

    @property
    def slots(self) -> int:
        """Most slots that are in use at any time. A full piece may have fewer splits than one that is filling, since
        its splits are longer."""
        return max(piece.base + piece.slots for piece in self.pieces)


def splits_of(
    step: Attend, shape: Shape, segments: Sequence[tuple[int, int]], tokens: int, limit: int
) -> Splits | None:
    """Return the splits of segments (first position, positions) in a step of at most `tokens` tokens; None if their
    results do not fit a binding of `limit` bytes."""
    groups = step.heads // shape.heads * tokens
    most = max(MIN_SPLITS, min(MAX_SPLITS, WORKGROUPS // groups))
    while most:
        splits = Splits(most, tuple(_pieces(shape, segments, step.cache.window, most)))
        if parts_bytes(step, splits.slots, tokens) <= limit:
            return splits
        most //= 2
    return None


def _pieces(shape: Shape, segments: Sequence[tuple[int, int]], window: int | None, most: int) -> Iterator[Piece]:
    base = 0
    for first, rows in segments:
        held = rows if window is None else min(rows, window)
        # Positions in the segment that the last token sees; 0, so no workgroups, before the conversation gets here.
        seen: Expr = ("min", held, ("max", 0, ("-", ("+", "P", "T"), first)) if first else ("+", "P", "T"))
        tiles: Expr = ("ceildiv", seen, shape.tile)
        all_tiles = ceil(held / shape.tile)
        longest = max(shape.least, ceil(all_tiles / most))
        if longest == shape.least:
            splits: Expr = tiles if shape.least == 1 else ("ceildiv", tiles, shape.least)
        else:
            splits = ("ceildiv", tiles, ("max", shape.least, ("ceildiv", tiles, most)))
        yield Piece(base, min(most, ceil(all_tiles / shape.least)), splits)
        # When the next segment is in use, this one is full.
        base += ceil(all_tiles / longest)


def parts_bytes(step: Attend, slots: int, tokens: int) -> int:
    """Return the bytes of `parts`: the number of splits, and a record of each split."""
    return 16 * (1 + tokens * step.heads * slots * (step.cache.head_size // 4 + 1))


def split_kernel(step: Attend, shape: Shape, splits: Splits, ring: bool) -> KernelSource:
    """Return the kernel of attention-split."""
    half = shape.cache == "f16"
    keys = "vec4<f32>" if not half else "vec4<u32>" if shape.planes == 2 else "vec2<u32>"
    values = "vec4<f32>" if not half else "vec4<u32>" if shape.dims == 8 else "vec2<u32>"
    window = step.cache.window
    constants: dict[str, int | float] = {
        "HEADS": step.heads,
        "KV_HEADS": step.cache.kv_heads,
        "SCALE": float(step.scale),
        "SPLITS": splits.most,
        "LEAST": shape.least,
        "SLOTS": splits.slots,
    }
    if window is not None:
        constants["WINDOW"] = window
    return KernelSource(
        "attention/attention-split",
        (*shape.structure, ("window", window is not None), ("ring", ring)),
        (
            Binding("q", "read", "array<vec4<f32>>"),
            Binding("keys", "read", f"array<{keys}>"),
            Binding("values", "read", f"array<{values}>"),
            Binding("step", "read", "array<u32, 4>"),
            Binding("parts", "read_write", "array<vec4<f32>>"),
        ),
        tuple((name, "u32") for name in ("first_row", "rows", "key_unit", "base")),
        tuple(constants.items()),
    )


def merge_kernel(step: Attend, splits: Splits) -> KernelSource:
    """Return the kernel of attention-merge."""
    return KernelSource(
        "attention/attention-merge",
        (("size", step.cache.head_size), ("unroll", MERGED_SPLITS), ("wg", MERGED_ELEMENTS // 4)),
        (Binding("parts", "read", "array<vec4<f32>>"), Binding("out", "read_write", "array<vec4<f32>>")),
        (("value_unit", "u32"),),
        (("HEADS", step.heads), ("SLOTS", splits.slots)),
    )
