"""GPU memory: what a plan takes, as its manifest states it, and what a bundle takes with it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from math import ceil

from gemtab.bundle.manifest import Manifest, PlanEntry, PlanMemory
from gemtab.bundle.plan import (
    PARAMS_ALIGNMENT,
    VECTOR_BYTES,
    VERIFY,
    ControlBuffer,
    Expr,
    Plan,
    Program,
    RowsBuffer,
    StateBuffer,
    Tables,
    WeightBuffer,
    bound_for,
    evaluate,
)


def plan_memory(plan: Plan, outputs: Iterable[Expr] = ()) -> PlanMemory:
    """What an executor allocates for a plan. outputs: buffers besides, which what a program made is copied into."""
    controls = [allocated(buffer.bytes) for buffer in plan.buffers.values() if isinstance(buffer, ControlBuffer)]
    # A tab loads no `verify`, which needs a drafter.
    params = [params_offsets(program)[-1] for name, program in plan.programs.items() if name != VERIFY]
    slots = [allocated(size) if isinstance(size, int) else size for size in plan.slots]
    for_gpu, for_host = bound_for(plan, "gpu"), bound_for(plan, "host")
    return PlanMemory(
        weights=_held(plan, for_gpu & for_host),
        tables=_held(plan, for_gpu - for_host),
        rows=_held(plan, for_host - for_gpu),
        state=total(
            buffer.bytes
            for name, buffer in plan.buffers.items()
            if isinstance(buffer, StateBuffer) and name in for_gpu | for_host
        ),
        scratch=total([*slots, *controls, *params, *outputs]),
    )


def _held(plan: Plan, names: Iterable[str]) -> int:
    held = (plan.buffers[name] for name in names)
    return sum(allocated(buffer.bytes) for buffer in held if isinstance(buffer, WeightBuffer | RowsBuffer))


def allocated(size: int) -> int:
    """The size of the GPU buffer for so many bytes: a kernel may read the last, incomplete vector of a value whole."""
    return ceil(size / VECTOR_BYTES) * VECTOR_BYTES


def params_offsets(program: Program) -> list[int]:
    """Where each dispatch's params begin in the program's uniform buffer, and last the size of that."""
    words = [len(dispatch.params or ()) for dispatch in program.dispatches]
    return list(accumulate((ceil(4 * count / PARAMS_ALIGNMENT) * PARAMS_ALIGNMENT for count in words), initial=0))


def total(sizes: Iterable[Expr]) -> Expr:
    """The sum of sizes, in which the numbers and what is equal are gathered."""
    counts = Counter(sizes)
    fixed = sum(size * count for size, count in counts.items() if isinstance(size, int))
    terms: list[Expr] = [
        size if count == 1 else ("*", count, size) for size, count in counts.items() if not isinstance(size, int)
    ]
    return reduce(lambda left, right: ("+", left, right), [fixed, *terms] if fixed or not terms else terms)


@dataclass(frozen=True)
class MemoryNeed:
    """GPU bytes of a plan with a context, in its largest step. weights: with the tables, or the rows of them."""

    weights: int
    state: int
    scratch: int

    @property
    def total(self) -> int:
        """The sum."""
        return self.weights + self.state + self.scratch


def memory_need(entry: PlanEntry, context: int, tables: Tables = "gpu") -> MemoryNeed:
    """What a plan takes with this context and its look-up tables there."""
    return need_of(entry.memory, entry.tokens, context, tables)


def need_of(memory: PlanMemory, tokens: int, context: int, tables: Tables) -> MemoryNeed:
    """As `memory_need`. tokens: the most of a step."""
    sizes = {"T": tokens, "P": context, "C": context}
    weights = memory.weights + (memory.tables if tables == "gpu" else memory.rows)
    return MemoryNeed(weights, evaluate(memory.state, sizes), evaluate(memory.scratch, sizes))


def towers_need(manifest: Manifest) -> int:
    """What the towers add once all are loaded: their weights, and the scratch of the one that needs most, since they
    work one at a time."""
    needs = [memory_need(entry, entry.tokens) for entry in (*manifest.towers.image, *manifest.towers.audio)]
    return sum(need.weights for need in needs) + max((need.scratch for need in needs), default=0)
