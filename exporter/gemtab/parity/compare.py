"""Compare one backend's logits over several prompts with the reference's."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from gemtab.bundle.parity import Backend, Comparison, Truth
from gemtab.parity.greedy import compare_greedy
from gemtab.parity.logits import compare as compare_logits
from gemtab.parity.tolerances import Tolerance

Logits = npt.NDArray[np.float32]


def compare(
    backend: Backend, against: Truth, found: Sequence[Logits], wanted: Sequence[Logits], most: Tolerance
) -> Comparison:
    """Compare logits [steps, vocabulary], one array a prompt. most: the tolerance of arithmetic."""
    margin = most.tie
    error = compare_logits(torch.from_numpy(np.concatenate(wanted)), torch.from_numpy(np.concatenate(found)))
    matches = [
        compare_greedy(torch.from_numpy(w), f.argmax(-1).tolist(), margin) for f, w in zip(found, wanted, strict=True)
    ]
    return Comparison(
        backend=backend,
        against=against,
        max_error=error.max,
        rms_error=error.rms,
        kl=error.kl,
        top1=error.top1,
        tie_margin=margin,
        near_ties=sum(match.ties for match in matches),
        greedy_match=sum(match.first_difference is None for match in matches) / len(matches),
    )
