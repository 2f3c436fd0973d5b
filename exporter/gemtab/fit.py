"""Whether a bundle fits GPU memory, and advice if it does not."""

from typing import Literal

from gemtab.bundle.manifest import Manifest, PlanEntry
from gemtab.bundle.memory import memory_need, towers_need
from gemtab.bundle.plan import Activation, Residence, Strict
from gemtab.errors import UsageError

Verdict = Literal["fits", "smaller context", "does not fit"]


class Fit(Strict):
    """How a plan fits `memory` bytes with `context` tokens.

    embeddings: the residence of per-layer embeddings. weights, state, scratch: bytes of the text model with them there.
    towers: bytes that images and audio add when first used. needed: the sum. max_context: most tokens that fit, 0 if
    none do. advice: changes that make the plan fit; none if it fits.
    """

    activation: Activation
    memory: int
    context: int
    embeddings: Residence
    weights: int
    state: int
    scratch: int
    towers: int
    needed: int
    verdict: Verdict
    max_context: int
    advice: tuple[str, ...]


def fit(manifest: Manifest, memory: int, context: int | None = None) -> tuple[Fit, ...]:
    """Return how each of the bundle's plans fits. The first plan is for GPUs with f16.

    memory: bytes of GPU memory. context: in tokens, by default the bundle's. Raises UsageError for a context that the
    bundle does not support.
    """
    wanted = manifest.context if context is None else context
    least = max(entry.tokens for entry in manifest.plans)
    if not least <= wanted <= manifest.context:
        raise UsageError(
            f"--context {wanted} is out of range: expected {least:,} to {manifest.context:,} tokens for this bundle."
        )
    return tuple(_fit_plan(manifest, entry, memory, wanted) for entry in manifest.plans)


def _fit_plan(manifest: Manifest, entry: PlanEntry, memory: int, context: int) -> Fit:
    towers = towers_need(manifest)
    embeddings = _residence(entry, memory - towers, context)
    need = memory_need(entry, context, embeddings)
    most = max_context(entry, memory - towers, manifest.context)
    verdict: Verdict = "fits" if need.total + towers <= memory else "smaller context" if most else "does not fit"
    return Fit(
        activation=entry.activation,
        memory=memory,
        context=context,
        embeddings=embeddings,
        weights=need.weights,
        state=need.state,
        scratch=need.scratch,
        towers=towers,
        needed=need.total + towers,
        verdict=verdict,
        max_context=most,
        advice=() if verdict == "fits" else _advice(manifest, entry, memory, most),
    )


def _residence(entry: PlanEntry, memory: int, context: int) -> Residence:
    """Return the residence that executors choose: the GPU if everything fits there, else the host."""
    return "gpu" if not entry.memory.embeddings or memory_need(entry, context).total <= memory else "host"


def max_context(entry: PlanEntry, memory: int, limit: int) -> int:
    """Return the most tokens, up to `limit`, with which a plan fits `memory` bytes; 0 if no context fits."""
    embeddings: Residence = "host" if entry.memory.embeddings else "gpu"
    if memory_need(entry, entry.tokens, embeddings).total > memory:
        return 0
    low, high = entry.tokens, limit
    while low < high:
        middle = (low + high + 1) // 2
        if memory_need(entry, middle, embeddings).total <= memory:
            low = middle
        else:
            high = middle - 1
    return low


def _advice(manifest: Manifest, entry: PlanEntry, memory: int, most: int) -> tuple[str, ...]:
    advice = []
    if most:
        advice.append(f"load the bundle with a context of at most {most:,} tokens")
    if manifest.inputs != ("text",) and max_context(entry, memory, manifest.context) > most:
        advice.append("export again with fewer inputs (`--inputs text`)")
    if manifest.weights != "q4":
        advice.append("export again with smaller weights (`--weights q4`)")
    return tuple(advice) or ("choose a smaller model",)
