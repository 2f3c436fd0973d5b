"""Comparing greedy decoding, step by step, with a margin for near-ties."""

from collections.abc import Callable, Collection, Sequence

import torch

from gemtab.bundle.plan import Strict

MAX_TIE_SHARE = 0.01
"""The largest share of steps that may be near-ties decided the other way."""


class GreedyMatch(Strict):
    """Of `steps` greedy steps, how many chose the reference's token.

    ties: steps that chose another token, which in the reference's logits lies within the margin of the largest.
    first_difference: the first step, from 0, with a token further away than that; None if there is none.
    """

    steps: int
    equal: int
    ties: int
    first_difference: int | None = None

    @property
    def holds(self) -> bool:
        """Whether the two decode the same, near-ties apart, and those are rare enough."""
        return self.first_difference is None and self.ties <= MAX_TIE_SHARE * self.steps


def compare_greedy(
    reference: Callable[[Sequence[int]], torch.Tensor],
    other: Callable[[Sequence[int]], int],
    prompt: Sequence[int],
    steps: int,
    margin: float,
    stop: Collection[int] = (),
) -> GreedyMatch:
    """Decode greedily after `prompt`, for `steps` tokens or until one of `stop`.

    reference: appends ids to its conversation and gives the logits [vocabulary] after the last. other: appends ids
    to its own and gives the token it chooses. After each step both are given the reference's token, so that one
    difference does not make all later steps differ. margin: in logits.
    """
    ids: Sequence[int] = prompt
    equal, ties, first_difference = 0, 0, None
    for step in range(steps):
        logits, chosen = reference(ids), other(ids)
        best = int(logits.argmax())
        if chosen == best:
            equal += 1
        elif float(logits[best] - logits[chosen]) <= margin:
            ties += 1
        elif first_difference is None:
            first_difference = step
        if best in stop:
            return GreedyMatch(steps=step + 1, equal=equal, ties=ties, first_difference=first_difference)
        ids = [best]
    return GreedyMatch(steps=steps, equal=equal, ties=ties, first_difference=first_difference)
