"""Whether a bundle fits into so much GPU memory, and what to do where it does not."""

from typing import Literal

from gemtab.bundle.manifest import Manifest, PlanEntry
from gemtab.bundle.memory import memory_need, towers_need
from gemtab.bundle.plan import Strict
from gemtab.errors import UsageError

Verdict = Literal["fits", "smaller context", "does not fit"]


class Fit(Strict):
    """How a plan fits into `memory` bytes with `context` tokens.

    weights, state, scratch: bytes of the text model; towers: what pictures and sound add when they first come.
    most_context: the most tokens that fit, 0 where none do; advice: what makes it fit, where it does not.
    """

    activation: Literal["f32", "f16"]
    memory: int
    context: int
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
    need, towers = memory_need(entry, context), towers_need(manifest, entry.activation)
    needed = need.total + towers
    most = most_context(entry, memory - towers, manifest.context)
    verdict: Verdict = "fits" if needed <= memory else "smaller context" if most else "does not fit"
    return Fit(
        activation=entry.activation,
        memory=memory,
        context=context,
        weights=need.weights,
        state=need.state,
        scratch=need.scratch,
        towers=towers,
        needed=needed,
        verdict=verdict,
        most_context=most,
        advice=() if verdict == "fits" else _advice(manifest, entry, memory, most),
    )


def most_context(entry: PlanEntry, memory: int, limit: int) -> int:
    """The most tokens, up to `limit`, with which a plan fits into so many bytes; 0 where it does not with its least."""
    if memory_need(entry, entry.tokens).total > memory:
        return 0
    low, high = entry.tokens, limit
    while low < high:
        middle = (low + high + 1) // 2
        if memory_need(entry, middle).total <= memory:
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
    if not advice:
        advice.append(
            f"choose a smaller model: this one takes {memory_need(entry, entry.tokens).weights:,} bytes of weights"
        )
    return tuple(advice)
