"""Compare logits."""

import torch

from gemtab.bundle.plan import Strict
from gemtab.parity.tolerances import Tolerance


class LogitError(Strict):
    """The error of logits against the reference's, over `positions` tokens.

    max, rms: of the differences, in logits. kl: mean of KL(reference || other), in nats. top1: share of positions with
    the same largest logit.
    """

    positions: int
    max: float
    rms: float
    kl: float
    top1: float

    def beyond(self, tolerance: Tolerance) -> list[str]:
        """Return phrases on values that exceed the tolerance; empty for none."""
        found = [
            f"{name} {value:.3g} is above {limit:g}"
            for name, value, limit in (
                ("maximum error", self.max, tolerance.max),
                ("RMS error", self.rms, tolerance.rms),
                ("KL", self.kl, tolerance.kl),
            )
            if not value <= limit
        ]
        if not self.top1 >= tolerance.top1:
            found.append(f"top-1 agreement {self.top1:.1%} is below {tolerance.top1:.1%}")
        return found


def compare(reference: torch.Tensor, other: torch.Tensor) -> LogitError:
    """Return the error of logits `other`, [n, vocabulary] like the reference's."""
    if reference.shape != other.shape:
        raise ValueError(f"expected logits {list(reference.shape)}, found {list(other.shape)}")
    reference, other = reference.double(), other.double()
    difference = other - reference
    log_p, log_q = reference.log_softmax(-1), other.log_softmax(-1)
    kl = (log_p.exp() * (log_p - log_q)).sum(-1)
    return LogitError(
        positions=len(reference),
        max=float(difference.abs().max()),
        rms=float(difference.square().mean().sqrt()),
        kl=float(kl.mean()),
        top1=float((reference.argmax(-1) == other.argmax(-1)).double().mean()),
    )
