"""Comparing logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gemtab.parity.report import Backend, Comparison, Truth

Logits = npt.NDArray[np.float32]

TIE_MARGIN = 0.02
"""Two logits closer than this may change places by rounding alone, on some backend or other."""


@dataclass(frozen=True)
class _Steps:
    """One prompt's steps: squared errors, divergences, and where the most likely tokens differ."""

    largest: float
    squared: float
    count: int
    kl: npt.NDArray[np.float64]
    same: npt.NDArray[np.bool_]
    tie: npt.NDArray[np.bool_]


def compare(
    backend: Backend, against: Truth, found: Sequence[Logits], wanted: Sequence[Logits], margin: float = TIE_MARGIN
) -> Comparison:
    """Compares logits [steps, vocabulary], one array a prompt."""
    prompts = [_compare_prompt(f, w, margin) for f, w in zip(found, wanted, strict=True)]
    same = np.concatenate([p.same for p in prompts])
    tied = np.concatenate([p.tie & ~p.same for p in prompts])
    return Comparison(
        backend=backend,
        against=against,
        max_error=max(p.largest for p in prompts),
        rms_error=float(np.sqrt(sum(p.squared for p in prompts) / sum(p.count for p in prompts))),
        kl=float(np.concatenate([p.kl for p in prompts]).mean()),
        top1=float(same.mean()),
        near_ties=int(tied.sum()),
        greedy_match=float(np.mean([bool((p.same | p.tie).all()) for p in prompts])),
    )


def _compare_prompt(found: Logits, wanted: Logits, margin: float) -> _Steps:
    assert found.shape == wanted.shape, f"logits {found.shape} and {wanted.shape}"
    error = found.astype(np.float64) - wanted
    best_two = np.partition(wanted, -2, axis=-1)[:, -2:]
    return _Steps(
        largest=float(np.abs(error).max()),
        squared=float((error**2).sum()),
        count=error.size,
        kl=_divergence(wanted, found),
        same=found.argmax(-1) == wanted.argmax(-1),
        tie=best_two[:, 1] - best_two[:, 0] < margin,
    )


def _divergence(wanted: Logits, found: Logits) -> npt.NDArray[np.float64]:
    p, q = _log_softmax(wanted), _log_softmax(found)
    divergence: npt.NDArray[np.float64] = (np.exp(p) * (p - q)).sum(-1)
    return divergence


def _log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result
