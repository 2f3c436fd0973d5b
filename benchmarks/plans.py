"""Dispatches and bytes of one decoded token, from the plans of the published models: `python -m benchmarks.plans`.

No weights are needed: a plan depends on shapes alone. Bytes are those of weights that the token's dispatches read (one
row of an embedding table, the active experts) and of keys and values that it attends to, as benchmarks/traffic.py
counts them. The table also has their ratio to the active weights and the live cache, the least that any engine must
read. `--json FILE` writes the same numbers in bytes.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.traffic import Sampling, bytes_of, reads, sampler_bytes
from gemtab.backends.webgpu.compile import build_text_plan
from gemtab.backends.webgpu.fuse import fuse
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import DECODE, Dispatch, Limits, Plan, evaluate, running
from gemtab.checkpoint.config import parse_config
from gemtab.graph import Graph, Weight
from gemtab.model.spec import TextSpec
from gemtab.model.text import fill_graph, text_graph
from gemtab.quantize import planes
from gemtab.resources import tiny_checkpoint
from gemtab.synth.mobile import MOBILE_SIZES, as_mobile
from gemtab.synth.published import SIZES, published_config

CONTEXT = 131_072

POSITIONS = (1024, 8192, 32_768, CONTEXT - 1)
"""The last position is the end of the context."""

WEIGHTS: tuple[WeightFormat, ...] = ("q4", "qat")

TARGETS = {"E2B": 249, "E4B": 298, "26B-A4B": 183, "31B": 303}
"""The goal for the dispatches of one token."""

GREEDY = Sampling(temperature=0, top_k=0, top_p=1)


@dataclass(frozen=True)
class Counted:
    """The counts of one decoded token.

    dispatches: without merges of attention's splits, which are `merges`. single: dispatches of one workgroup, of both.
    weights, cache: bytes read, each counted once. issued: bytes of keys and values, as often as workgroups load them.
    needed: bytes of active weights and live cache. greedy, sampled: bytes that the choice of the token reads, greedily
    and with the model's settings.
    """

    dispatches: int
    merges: int
    single: int
    weights: int
    cache: int
    issued: int
    needed: int
    greedy: int
    sampled: int

    @property
    def ratio(self) -> float:
        """Bytes read / bytes needed."""
        return (self.weights + self.cache) / self.needed


@dataclass(frozen=True)
class Model:
    """A text model and its f16 plan. sampling: the settings of its generation config."""

    spec: TextSpec
    weights: WeightFormat
    plan: Plan
    sampling: Sampling


def model(spec: TextSpec, weights: WeightFormat, sampling: Sampling, context: int = CONTEXT) -> Model:
    """Return the model with its plan, without weights."""
    return Model(spec, weights, text_plan(spec, weights, context), sampling)


def own_sampling(folder: Path) -> Sampling:
    """Return the settings of the generation config in a folder."""
    config: dict[str, Any] = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    return Sampling(config["temperature"], config["top_k"], config["top_p"])


def count(model: Model, position: int) -> Counted:
    """Return the counts of a token at `position`."""
    sizes = {"T": 1, "P": position, "C": model.plan.context}
    dispatches = running(model.plan.programs[DECODE], sizes)
    found = [reads(model.plan, one, model.spec) for one in dispatches]
    merges = sum(one.kernel.startswith("attention-merge.") for one in dispatches)
    weights, cache, issued = (
        sum(bytes_of(getattr(one, kind), 1, position, model.plan.context) for one in found)
        for kind in ("weights", "cache", "issued")
    )
    return Counted(
        dispatches=len(dispatches) - merges,
        merges=merges,
        single=sum(_workgroups(one, sizes) == 1 for one in dispatches),
        weights=weights,
        cache=cache,
        issued=issued,
        needed=active_bytes(text_graph(model.spec), model.weights, model.spec) + live_cache(model.spec, position),
        greedy=sampler_bytes(model.plan, GREEDY),
        sampled=sampler_bytes(model.plan, model.sampling),
    )


def _workgroups(dispatch: Dispatch, sizes: dict[str, int]) -> int:
    return prod(evaluate(expr, sizes) for expr in dispatch.grid)


def text_plan(spec: TextSpec, weights: WeightFormat, context: int) -> Plan:
    """Return the f16 text plan, without weights."""
    filling, whole = fill_graph(spec), text_graph(spec)
    held = {weight.name: weight for graph in (filling, whole) for weight in graph.weights()}
    locations: dict[tuple[str, str], Location] = {
        (weight.name, plane.name): Location(f"{weight.name}.{plane.name}", 0, plane.bytes)
        for weight in held.values()
        for plane in planes(weight, weights)
    }
    stored = StoredWeights(
        weights, locations, lambda weight: [1.0] * prod(weight.shape), Limits().maxStorageBufferBindingSize
    )
    builder, _ = build_text_plan(fuse(filling), fuse(whole), stored, "f16", context, Limits())
    return builder.finish({})


def active_bytes(graph: Graph, weights: WeightFormat, spec: TextSpec) -> int:
    """Return the bytes of a token's active weights: one row of a table that is only looked up."""
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
    """Return the bytes of f16 keys and values that all layers attend to, counted in each layer."""
    total = 0
    for layer in spec.layers:
        a = layer.attention
        rows = min(position + 1, a.window or position + 1)
        total += rows * a.kv_heads * a.head_size * 2 * 2
    return total


def published(weights: WeightFormat) -> Iterator[tuple[str, Model]]:
    """Return the published models in a format, by size."""
    sampling = own_sampling(tiny_checkpoint())
    for size in SIZES if weights != "qat" else MOBILE_SIZES:
        config = published_config(size)
        spec = parse_config(as_mobile(config, size) if weights == "qat" else config, size).text
        yield size, model(spec, weights, sampling)


def table_of(rows: list[tuple[str, int, Counted]]) -> Table:
    """Return the counts as a Markdown table, bytes in MB."""
    table = Table(box=box.MARKDOWN)
    table.add_column("model")
    headings = ("position", "dispatches", "target", "merges", "one workgroup", "weights", "cache", "cache issued")
    for heading in (*headings, "greedy", "sampled", "of what is needed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for size, position, one in rows:
        numbers = (one.dispatches, TARGETS.get(size, "–"), one.merges, one.single)
        megabytes = (f"{one.weights / 1e6:,.0f}", f"{one.cache / 1e6:,.1f}", f"{one.issued / 1e6:,.1f}")
        sampler = (f"{one.greedy / 1e6:.2f}", f"{one.sampled / 1e6:.2f}")
        table.add_row(size, f"{position:,}", *map(str, numbers), *megabytes, *sampler, f"{one.ratio:.3f}")
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", default=WEIGHTS, choices=("f32", "f16", "q8", "q4", "qat"))
    parser.add_argument("--position", type=int, nargs="+", default=POSITIONS, help="of the token that is decoded")
    parser.add_argument("--json", type=Path, help="file to be written as well", metavar="FILE")
    options = parser.parse_args()
    # Wide enough for the tables, also without a terminal.
    console, found = Console(width=180), list[dict[str, Any]]()
    for weights in options.weights:
        rows = [(size, at, count(one, at)) for size, one in published(weights) for at in options.position]
        console.print(f"{weights}:", table_of(rows), sep="\n")
        found += [{"model": size, "weights": weights, "position": at, **asdict(one)} for size, at, one in rows]
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
