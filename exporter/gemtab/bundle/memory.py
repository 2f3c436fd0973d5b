"""GPU memory that a plan takes, and that a bundle takes by its manifest."""

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
    Residence,
    RowsBuffer,
    StateBuffer,
    WeightBuffer,
    bound_for,
    evaluate,
)


def plan_memory(plan: Plan, outputs: Iterable[Expr] = ()) -> PlanMemory:
    """Return the memory that an executor allocates for a plan. outputs: sizes of buffers for copies of outputs."""
    controls = [allocated(buffer.bytes) for buffer in plan.buffers.values() if isinstance(buffer, ControlBuffer)]
    # A tab does not load `verify`, which needs a draft model.
    params = [params_offsets(program)[-1] for name, program in plan.programs.items() if name != VERIFY]
    slots = [allocated(size) if isinstance(size, int) else size for size in plan.slots]
    for_gpu, for_host = bound_for(plan, "gpu"), bound_for(plan, "host")
    return PlanMemory(
        weights=_held(plan, for_gpu & for_host),
        embeddings=_held(plan, for_gpu - for_host),
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
    """Return the size of the GPU buffer for `size` bytes. Kernels may read a whole vector at the end of a value."""
    return ceil(size / VECTOR_BYTES) * VECTOR_BYTES


def params_offsets(program: Program) -> list[int]:
    """Return the offset of each dispatch's params in the program's uniform buffer, followed by the buffer's size."""
    words = [len(dispatch.params or ()) for dispatch in program.dispatches]
    return list(accumulate((ceil(4 * count / PARAMS_ALIGNMENT) * PARAMS_ALIGNMENT for count in words), initial=0))


def total(sizes: Iterable[Expr]) -> Expr:
    """Return the sum of sizes. Numbers are added up, and equal terms are combined."""
    counts = Counter(sizes)
    fixed = sum(size * count for size, count in counts.items() if isinstance(size, int))
    terms: list[Expr] = [
        size if count == 1 else ("*", count, size) for size, count in counts.items() if not isinstance(size, int)
    ]
    return reduce(lambda left, right: ("+", left, right), [fixed, *terms] if fixed or not terms else terms)


@dataclass(frozen=True)
class MemoryNeed:
    """GPU bytes that a plan takes in its largest step. weights: per-layer embeddings, or their rows, included."""

    weights: int
    state: int
    scratch: int

    @property
    def total(self) -> int:
        """The sum of all."""
        return self.weights + self.state + self.scratch


def memory_need(entry: PlanEntry, context: int, embeddings: Residence = "gpu") -> MemoryNeed:
    """Return the memory that a plan takes with this context, in tokens, and per-layer embeddings there."""
    return need_of(entry.memory, entry.tokens, context, embeddings)


def need_of(memory: PlanMemory, tokens: int, context: int, embeddings: Residence) -> MemoryNeed:
    """As `memory_need`, for a plan without manifest. tokens: most tokens of a step."""
    sizes = {"T": tokens, "P": context, "C": context}
    weights = memory.weights + (memory.embeddings if embeddings == "gpu" else memory.rows)
    return MemoryNeed(weights, evaluate(memory.state, sizes), evaluate(memory.scratch, sizes))


def towers_need(manifest: Manifest) -> int:
    """Return the GPU bytes of all towers: their weights, and the largest scratch, since one tower runs at a time."""
    needs = [memory_need(entry, entry.tokens) for entry in (*manifest.towers.image, *manifest.towers.audio)]
    return sum(need.weights for need in needs) + max((need.scratch for need in needs), default=0)
