"""Whether a bundle fits into so much GPU memory, and what to do where it does not."""

from typing import Literal

from gemtab.bundle.manifest import Manifest, PlanEntry
from gemtab.bundle.memory import memory_need, towers_need
from gemtab.bundle.plan import Activation, Strict, Tables
from gemtab.errors import UsageError

Verdict = Literal["fits", "smaller context", "does not fit"]


class Fit(Strict):
    """How a plan fits into `memory` bytes with `context` tokens.

    tables: where look-up tables have to lie so that it does. weights, state, scratch: bytes of the text model then;
    towers: what pictures and sound add when they first come. most_context: the most tokens that fit, 0 where none do;
    advice: what makes it fit, where it does not.
    """

    activation: Activation
    memory: int
    context: int
    tables: Tables
    weights: int
    state: int
    scratch: int
    towers: int
    needed: int
    verdict: Verdict
    most_context: int
    advice: tuple[str, ...]


def fit(manifest: Manifest, memory: int, context: int | None = None) -> tuple[Fit, ...]:
    """How each of the bundle's plans fits; the first is that of GPUs with f16.

    memory: bytes of GPU memory. context: tokens, by default the bundle's. Raises UsageError where the bundle cannot
    have that context.
    """
    wanted = manifest.context if context is None else context
    least = max(entry.tokens for entry in manifest.plans)
    if not least <= wanted <= manifest.context:
        raise UsageError(
            f"--context {wanted} is out of range: this bundle takes {least:,} to {manifest.context:,} tokens."
        )
    return tuple(_fit_plan(manifest, entry, memory, wanted) for entry in manifest.plans)


def _fit_plan(manifest: Manifest, entry: PlanEntry, memory: int, context: int) -> Fit:
    towers = towers_need(manifest)
    tables = _tables(entry, memory - towers, context)
    need = memory_need(entry, context, tables)
    most = most_context(entry, memory - towers, manifest.context)
    verdict: Verdict = "fits" if need.total + towers <= memory else "smaller context" if most else "does not fit"
    return Fit(
        activation=entry.activation,
        memory=memory,
        context=context,
        tables=tables,
        weights=need.weights,
        state=need.state,
        scratch=need.scratch,
        towers=towers,
        needed=need.total + towers,
        verdict=verdict,
        most_context=most,
        advice=() if verdict == "fits" else _advice(manifest, entry, memory, most),
    )


def _tables(entry: PlanEntry, memory: int, context: int) -> Tables:
    """On the GPU where they fit, as the executors choose too; a plan without any has none to put elsewhere."""
    return "gpu" if not entry.memory.tables or memory_need(entry, context).total <= memory else "host"


def most_context(entry: PlanEntry, memory: int, limit: int) -> int:
    """The most tokens, up to `limit`, with which a plan fits into so many bytes; 0 where it does not with its least."""
    tables: Tables = "host" if entry.memory.tables else "gpu"
    if memory_need(entry, entry.tokens, tables).total > memory:
        return 0
    low, high = entry.tokens, limit
    while low < high:
        middle = (low + high + 1) // 2
        if memory_need(entry, middle, tables).total <= memory:
            low = middle
        else:
            high = middle - 1
    return low


def _advice(manifest: Manifest, entry: PlanEntry, memory: int, most: int) -> tuple[str, ...]:
    advice = []
    if most:
        advice.append(f"load it with a context of at most {most:,} tokens")
    if manifest.inputs != ("text",) and most_context(entry, memory, manifest.context) > most:
        advice.append("export it with fewer inputs (`--inputs text`)")
    if manifest.weights != "q4":
        advice.append("export it with smaller weights (`--weights q4`)")
    return tuple(advice) or ("choose a smaller model",)
