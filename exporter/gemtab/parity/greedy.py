"""Comparing greedy decoding, step by step, with a margin for near-ties."""

from collections.abc import Sequence

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


def compare_greedy(reference: torch.Tensor, chosen: Sequence[int], margin: float) -> GreedyMatch:
    """Whether `chosen`, one token a step, are the largest of the reference's logits [steps, vocabulary].

    At every step both must have been given the same tokens before it: the reference's, so that one difference does
    not make all later steps differ. margin: in logits.
    """
    ties, first_difference = 0, None
    for step, token in enumerate(chosen):
        gap = float(reference[step].max() - reference[step, token])
        ties += 0 < gap <= margin
        if gap > margin and first_difference is None:
            first_difference = step
    equal = sum(int(reference[step].argmax()) == token for step, token in enumerate(chosen))
    return GreedyMatch(steps=len(chosen), equal=equal, ties=ties, first_difference=first_difference)
