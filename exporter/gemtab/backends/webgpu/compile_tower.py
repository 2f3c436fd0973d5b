"""Compiles a tower's graph to `plan/<tower>.json`, `plan/<tower>.bin` and shaders.

Only caches differ between f16 and f32 plans, and a tower has no caches. So a tower has one plan for all devices.
"""

from collections.abc import Collection, Mapping
from functools import reduce
from pathlib import Path

from gemtab.backends.webgpu.compile import PlanBuilder, plan_entry, tokens_that_fit, write_shaders, write_tables
from gemtab.backends.webgpu.fusion import FusedGraph
from gemtab.backends.webgpu.lower import Shared
from gemtab.backends.webgpu.lower_tower import TowerLowering
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import PlanEntry, Tower, WeightFormat
from gemtab.bundle.memory import plan_memory
from gemtab.bundle.plan import ENCODE, ROWS, Expr, Limits, Plan, ScratchBuffer, WeightBuffer
from gemtab.bundle.soft_tokens import AUDIO_TOKENS, BUDGETS
from gemtab.quantize import WeightReader

MAX_TOKENS: dict[Tower, int] = {"image": max(BUDGETS), "audio": AUDIO_TOKENS}
"""Most soft tokens of an image, and of 30 s of audio. A plan has fewer if a value would not fit the limits."""


def tower_plan_file(tower: Tower) -> str:
    """Return the path of a tower's plan in the bundle."""
    return f"plan/{tower}.json"


def compile_tower(
    tower: Tower,
    fused: FusedGraph,
    weight_format: WeightFormat,
    locations: Mapping[tuple[str, str], Location],
    weights: WeightReader,
    out: Path,
    limits: Limits | None = None,
) -> PlanEntry:
    """Write a tower's plan and shaders into the bundle folder `out`, and return the plan's entry.

    locations: of each plane, by (weight name, plane name). Raises DeviceError if the tower does not fit the limits.
    """
    limits = limits or Limits()
    stored = StoredWeights(
        weight_format, locations, lambda weight: weights.read(weight).tolist(), limits.maxStorageBufferBindingSize
    )
    (out / "plan").mkdir(parents=True, exist_ok=True)
    (out / "shaders").mkdir(exist_ok=True)
    builder, lowering = build_tower(fused, stored, limits, MAX_TOKENS[tower])
    plan = tower_plan(builder, lowering, write_tables(out, builder.shared.tables, f"plan/{tower}.bin"))
    file = tower_plan_file(tower)
    (out / file).write_text(plan.model_dump_json(exclude_none=True))
    write_shaders(out, builder.shaders)
    rows = plan.buffers[plan.programs[ENCODE].outputs[ROWS]]
    assert isinstance(rows, ScratchBuffer)
    return plan_entry(file, plan, plan_memory(plan, [rows.bytes]))


def build_tower(
    fused: FusedGraph, stored: StoredWeights, limits: Limits, max_tokens: int
) -> tuple[PlanBuilder, TowerLowering]:
    """Build the program `encode` of a tower for at most `max_tokens` soft tokens. Return builder and lowering."""
    graph, steps = fused.graph, fused.steps
    trial = TowerLowering(Shared(stored, "f32", limits, 1, 1), tokens=1)
    trial.lower(steps, graph.inputs)
    largest = max(size for name, size in trial.sizes.items() if name not in trial.fixed and name not in trial.partial)
    tokens = min(max_tokens, tokens_that_fit(largest, limits))

    shared = Shared(stored, "f32", limits, context=tokens, fill_tokens=tokens)
    lowering = TowerLowering(shared, tokens)
    lowering.lower(steps, graph.inputs)
    (output,) = graph.outputs.values()
    builder = PlanBuilder(shared, vocabulary=0)
    inputs = [value.name for value in graph.inputs]
    builder.add_program(ENCODE, lowering, tokens, {ROWS: output.name}, inputs)
    return builder, lowering


def tower_plan(builder: PlanBuilder, lowering: TowerLowering, tables: Mapping[str, WeightBuffer]) -> Plan:
    """Return the plan of a built tower: scratch sizes are expressions in T, the only control buffer is `step`."""
    plan = builder.finish(tables)
    scratch = {
        name: buffer.model_copy(update={"bytes": _by_tokens(buffer, plan.context, name, lowering)})
        for name, buffer in plan.buffers.items()
        if isinstance(buffer, ScratchBuffer)
    }
    others = {name: buffer for name, buffer in plan.buffers.items() if isinstance(buffer, WeightBuffer)}
    slots = [[b.bytes for b in scratch.values() if b.slot == slot] for slot in range(len(plan.slots))]
    return plan.model_copy(
        update={
            "sampled_ring": 0,
            "slots": tuple(_largest(sizes) for sizes in slots),
            "buffers": {**others, "step": plan.buffers["step"], **scratch},
        }
    )


def _by_tokens(buffer: ScratchBuffer, tokens: int, name: str, lowering: TowerLowering) -> Expr:
    assert isinstance(buffer.bytes, int)
    value = name.removeprefix(f"{ENCODE}/")
    if value in lowering.fixed:
        return buffer.bytes
    if value in lowering.partial and lowering.partial[value] * tokens > buffer.bytes:
        return ("min", buffer.bytes, ("*", lowering.partial[value], "T"))
    assert buffer.bytes % (4 * tokens) == 0, f"{buffer.bytes} bytes for {tokens} tokens are no whole words a token"
    return ("*", buffer.bytes // tokens, "T")


def _largest(sizes: Collection[Expr]) -> Expr:
    """Return the largest of sizes: numbers, multiples of T, or minima of both."""
    numbers = [size for size in sizes if isinstance(size, int)]
    factors = [size[1] for size in sizes if isinstance(size, tuple) and size[0] == "*" and isinstance(size[1], int)]
    bounded = {size for size in sizes if isinstance(size, tuple) and size[0] == "min"}
    most: list[Expr] = [max(numbers)] if numbers else []
    if factors:
        most.append(("*", max(factors), "T"))
    return reduce(lambda left, right: ("max", left, right), [*most, *sorted(bounded)])
