"""Dispatches and bytes of one decoded token, from the plans of the published models: `python -m benchmarks.plans`.

No weight is needed: a plan depends on shapes alone. Bytes are those of the weights that the token's dispatches read (of
tables its row, of experts the active ones) and of the keys and values that it attends to; beside them stands their
ratio to the active weights and the live cache, which no engine can do without.
"""

import argparse
from dataclasses import dataclass
from math import prod
from typing import get_args

from rich.console import Console
from rich.table import Table

from gemtab.backends.webgpu.compile import build_text_plan
from gemtab.backends.webgpu.fuse import fuse
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Dispatch, Limits, Plan, WeightBuffer, running
from gemtab.checkpoint.config import parse_config
from gemtab.graph import Graph, Weight
from gemtab.model.spec import TextSpec
from gemtab.model.text import fill_graph, text_graph
from gemtab.quantize import planes
from gemtab.synth.published import SIZES, published_config

CONTEXT = 32_768

TARGETS = {"E2B": 249, "E4B": 298, "26B-A4B": 183, "31B": 303}
"""Dispatches that were aimed at for one token."""


@dataclass(frozen=True)
class Counted:
    """What one decoded token takes. merges: dispatches that merge attention's splits, which `dispatches` leaves out.
    weights, cache: bytes read; needed: of active weights and live cache."""

    dispatches: int
    merges: int
    weights: int
    cache: int
    needed: int


def count(spec: TextSpec, weights: WeightFormat, position: int) -> Counted:
    """The counts for a token at `position`, by the f16 plan."""
    whole = text_graph(spec)
    plan = decode_plan(spec, whole, weights)
    sizes = {"T": 1, "P": position, "C": CONTEXT}
    dispatches = running(plan.programs["decode"], sizes)
    cache = live_cache(spec, position)
    merges = sum(one.kernel.startswith("attention-merge.") for one in dispatches)
    return Counted(
        dispatches=len(dispatches) - merges,
        merges=merges,
        weights=sum(weight_bytes(plan, one, spec) for one in dispatches),
        cache=cache,
        needed=active_bytes(whole, weights, spec) + cache,
    )


def decode_plan(spec: TextSpec, whole: Graph, weights: WeightFormat) -> Plan:
    """The text plan in f16, of weights that lie nowhere."""
    held = {weight.name: weight for graph in (fill_graph(spec), whole) for weight in graph.weights()}
    locations: dict[tuple[str, str], Location] = {
        (weight.name, plane.name): Location(f"{weight.name}.{plane.name}", 0, plane.bytes)
        for weight in held.values()
        for plane in planes(weight, weights)
    }
    stored = StoredWeights(
        weights, locations, lambda weight: [1.0] * prod(weight.shape), Limits().maxStorageBufferBindingSize
    )
    builder, _ = build_text_plan(fuse(fill_graph(spec)), fuse(whole), stored, "f16", CONTEXT, Limits())
    return builder.finish({})


def weight_bytes(plan: Plan, dispatch: Dispatch, spec: TextSpec) -> int:
    """Bytes of weights that a dispatch reads for one token."""
    bound = [plan.buffers.get(name) for name in dispatch.bindings]
    total = sum(buffer.bytes for buffer in bound if isinstance(buffer, WeightBuffer))
    if dispatch.kernel.startswith("embed."):
        # One row, which lies in one of the table's pieces: the pieces together count as one row.
        return round(total / spec.vocabulary)
    moe = next((layer.moe for layer in spec.layers if layer.moe), None)
    if moe and ".experts" in dispatch.kernel:
        return total * moe.active // moe.experts
    return total


def active_bytes(graph: Graph, weights: WeightFormat, spec: TextSpec) -> int:
    """Bytes of the weights that a token cannot do without: of a table that is only looked up, a row."""
    multiplied = {node.weight(1).name for node in graph.nodes if node.op == "linear"}
    return sum(round(_active(weight, weight.name in multiplied, weights, spec)) for weight in graph.weights())


def _active(weight: Weight, multiplied: bool, weights: WeightFormat, spec: TextSpec) -> float:
    total = sum(plane.bytes for plane in planes(weight, weights))
    if weight.role == "table" and not multiplied:
        return total / weight.shape[0]
    if weight.role == "experts":
        moe = next(layer.moe for layer in spec.layers if layer.moe)
        return total * moe.active / moe.experts
    return total


def live_cache(spec: TextSpec, position: int) -> int:
    """Bytes of f16 keys and values that the layers attend to, each layer for itself."""
    total = 0
    for layer in spec.layers:
        a = layer.attention
        rows = min(position + 1, a.window or position + 1)
        total += rows * a.kv_heads * a.head_size * 2 * 2
    return total


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="q4", choices=[name for name in get_args(WeightFormat) if name != "qat"])
    parser.add_argument("--position", type=int, default=1000, help="of the token that is decoded")
    options = parser.parse_args()
    table = Table(title=f"One token at position {options.position:,}, {options.weights}, caches in f16")
    for heading in ("model", "dispatches", "merges", "target", "weights MB", "cache MB", "of what is needed"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for size in SIZES:
        spec = parse_config(published_config(size), size).text
        counted = count(spec, options.weights, options.position)
        ratio = (counted.weights + counted.cache) / counted.needed
        cells = (
            f"{counted.dispatches}",
            f"{counted.merges}",
            f"{TARGETS.get(size, '–')}",
            f"{counted.weights / 1e6:,.0f}",
        )
        table.add_row(size, *cells, f"{counted.cache / 1e6:,.1f}", f"{ratio:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
