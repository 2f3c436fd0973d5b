"""Compare greedy decoding step by step, with a margin for near ties."""

from collections.abc import Sequence

import torch

from gemtab.bundle.plan import Strict

MAX_TIE_SHARE = 0.01
"""Maximum share of steps that are near ties decided differently."""


class GreedyMatch(Strict):
    """The agreement of greedy steps with the reference.

    steps: number of steps. equal: steps that chose the reference's token. ties: steps that chose another token within
    the margin of the reference's largest logit. first_difference: index of the first step beyond the margin; None for
    none.
    """

    steps: int
    equal: int
    ties: int
    first_difference: int | None = None

    @property
    def holds(self) -> bool:
        """Whether both decode the same tokens, except for a few near ties."""
        return self.first_difference is None and self.ties <= MAX_TIE_SHARE * self.steps


def compare_greedy(reference: torch.Tensor, chosen: Sequence[int], margin: float) -> GreedyMatch:
    """Compare `chosen`, one token a step, with the reference's logits [steps, vocabulary].

    At every step both must have had the reference's tokens before, so that one difference does not change all later
    steps. margin: maximum difference of a near tie, in logits.
    """
    ties, first_difference = 0, None
    for step, token in enumerate(chosen):
        gap = float(reference[step].max() - reference[step, token])
        ties += 0 < gap <= margin
        if gap > margin and first_difference is None:
            first_difference = step
    equal = sum(int(reference[step].argmax()) == token for step, token in enumerate(chosen))
    return GreedyMatch(steps=len(chosen), equal=equal, ties=ties, first_difference=first_difference)
