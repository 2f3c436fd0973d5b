"""Bytes that a dispatch of a plan reads: `python -m benchmarks.traffic BUNDLE` writes them as JSON for gpu/bench.mjs.

Counts weights (one row per token of embedding tables, the active experts) and the keys and values that a step attends
to. Values within a step do not count. Counts are expressions as in plans, for T tokens after P, so that a reader
without Python can evaluate them for any step.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gemtab.bundle.folder import load_plan, read_manifest
from gemtab.bundle.plan import DECODE, Dispatch, Expr, Plan, Ring, RowsBuffer, StateBuffer, WeightBuffer, evaluate
from gemtab.checkpoint import load_spec
from gemtab.model.spec import TextSpec

WORD = 4
"""Bytes of a logit, and of a maximum's key."""


@dataclass(frozen=True)
class Reads:
    """Bytes that a dispatch reads. weights, cache: each byte counted once. issued: bytes of keys and values, as often
    as workgroups load them."""

    weights: Expr
    cache: Expr
    issued: Expr


@dataclass(frozen=True)
class Sampling:
    """Settings of the sampler. Temperature 0 is greedy."""

    temperature: float
    top_k: int
    top_p: float


def reads(plan: Plan, dispatch: Dispatch, spec: TextSpec) -> Reads:
    """Return the counts of a dispatch."""
    weights: list[Expr] = []
    cache: list[Expr] = []
    of_one_token: list[Expr] = []
    for name, access in zip(dispatch.bindings, plan.kernels[dispatch.kernel].bindings, strict=False):
        buffer = plan.buffers.get(name)
        if isinstance(buffer, WeightBuffer):
            weights.append(_weight(dispatch.kernel, buffer.bytes, spec))
        elif isinstance(buffer, RowsBuffer):
            weights.append(("*", buffer.row_bytes, "T"))
        elif isinstance(buffer, StateBuffer) and access == "read":
            cache.append(_live(name, buffer, "T"))
            of_one_token.append(_live(name, buffer, 1))
    issued: Expr = ("*", ("*", _workgroups(plan, dispatch), "T"), _sum(of_one_token)) if cache else 0
    return Reads(_sum(weights), _sum(cache), issued)


def _weight(kernel: str, size: int, spec: TextSpec) -> Expr:
    if kernel.startswith("embed."):
        # A token's row is in one of the table's pieces, so all pieces together count as one row.
        return ("*", round(size / spec.vocabulary), "T")
    moe = next((layer.moe for layer in spec.layers if layer.moe), None)
    if moe and ".experts" in kernel:
        return ("*", size // moe.experts, ("min", moe.experts, ("*", moe.active, "T")))
    return size


def _live(name: str, buffer: StateBuffer, tokens: Expr) -> Expr:
    """Return the bytes of a cache, or of the segment whose first position is in its name, that a step attends to.

    tokens: the last tokens of the step that count.
    """
    end: Expr = ("+", "P", "T")
    if buffer.ring:
        return _live_ring(buffer.bytes, buffer.ring, end, tokens)
    assert isinstance(buffer.bytes, tuple), f"{name} is a cache whose size does not depend on the context"
    _, row_bytes, rows = buffer.bytes
    first = int(name.split(":")[2]) if name.count(":") > 1 else 0
    return ("*", row_bytes, ("min", rows, ("max", 0, ("-", end, first))))


def _live_ring(size: Expr, ring: Ring, end: Expr, tokens: Expr) -> Expr:
    assert isinstance(size, int)
    return ("*", size // ring.rows, ("min", ring.rows, ("min", end, ("+", ring.window - 1, tokens))))


def _workgroups(plan: Plan, dispatch: Dispatch) -> int:
    """Return the number of workgroups that load a key or value for one token.

    Workgroups along the grid's first axis divide the query heads, and each loads the keys of one KV head. Those along
    the second axis have other keys (splits) or other tokens.
    """
    heads = int(plan.kernels[dispatch.kernel].forms[0].constants["KV_HEADS"])
    assert isinstance(dispatch.grid[0], int), f"{dispatch.label} shares out its heads by {dispatch.grid[0]}"
    return dispatch.grid[0] // heads


def _sum(parts: Iterable[Expr]) -> Expr:
    total: Expr = 0
    for part in parts:
        total = part if total == 0 else ("+", total, part)
    return total


def sampler_bytes(plan: Plan, sampling: Sampling) -> int:
    """Return the bytes that the choice of a token reads.

    All logits once, for the maxima. Then, greedily, the groups' winners; else the slices' maxima once per byte of the
    k-th largest and once more, and the k slices that reach it, if all maxima differ.
    """
    kernels = [plan.kernels[one.kernel].forms[0].constants for one in plan.programs[DECODE].dispatches[-2:]]
    constants = {name: int(value) for each in kernels for name, value in each.items()}
    logits = constants["VOCABULARY"] * WORD
    if sampling.temperature == 0:
        return logits + constants["GROUPS"] * 2 * WORD
    passes_of_maxima = WORD + 1
    return logits + passes_of_maxima * constants["SLICES"] * WORD + sampling.top_k * constants["SLICE"] * WORD


def traffic(plan: Plan, spec: TextSpec) -> list[dict[str, Any]]:
    """Return the counts of each kind of dispatch, by `kernel` and the bound `buffers` of weights or caches."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for program in plan.programs.values():
        for dispatch in program.dispatches:
            kinds = {name: plan.buffers.get(name) for name in dispatch.bindings}
            buffers = [name for name, one in kinds.items() if isinstance(one, WeightBuffer | RowsBuffer | StateBuffer)]
            if buffers:
                counted = asdict(reads(plan, dispatch, spec))
                found[dispatch.kernel, *buffers] = {"kernel": dispatch.kernel, "buffers": buffers, **counted}
    return list(found.values())


def bytes_of(count: Expr, tokens: int, position: int, context: int) -> int:
    """Return the value of a count for a step."""
    return evaluate(count, {"T": tokens, "P": position, "C": context})


def bundle_traffic(folder: Path) -> dict[str, Any]:
    """Return `traffic` of each of a bundle's plans, by activation."""
    spec = load_spec(folder).text
    plans = read_manifest(folder).plans
    return {entry.activation: traffic(load_plan(folder / entry.file), spec) for entry in plans}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="a bundle, with or without its weights", metavar="BUNDLE")
    parser.add_argument("file", type=Path, nargs="?", help="JSON to be written; standard output", metavar="FILE")
    options = parser.parse_args()
    text = json.dumps(bundle_traffic(options.bundle))
    if options.file:
        options.file.write_text(text + "\n", encoding="utf-8")
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
