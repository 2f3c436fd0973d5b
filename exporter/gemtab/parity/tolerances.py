"""Every tolerance that gemtab holds its backends and formats to."""

from dataclasses import dataclass
from typing import Final, Literal

from gemtab.bundle.manifest import WeightFormat


@dataclass(frozen=True)
class Tolerance:
    """Limits of a `LogitError`. tie: two logits that are closer than this count as equal in greedy decoding."""

    max: float
    rms: float
    kl: float
    top1: float
    tie: float


TRANSFORMERS_MAX: Final = 1e-4
"""Largest difference of any logit between the reference and transformers, both in f32 and with exact angles."""

EXACT_POSITIONS: Final = 64
"""Positions up to which transformers' angles are as good as exact. It multiplies positions by frequencies in f32, whose
error grows with the position, and scores follow; the reference and all backends take angles in f64 or as exactly."""


def transformers_max(position: int) -> float:
    """The same at a position, where transformers is left as it is. Random models of E2B's features differ from it by
    0.01 at position 20,000 and by 0.13 at 131,000; from transformers with angles in f64 by less than 1e-4 at both."""
    return TRANSFORMERS_MAX * max(1.0, position / EXACT_POSITIONS)


ACTIVATIONS: Final[dict[Literal["f32", "f16"], Tolerance]] = {
    "f32": Tolerance(max=2e-3, rms=5e-4, kl=1e-6, top1=0.99, tie=2e-3),
    "f16": Tolerance(max=0.3, rms=0.05, kl=2e-3, top1=0.97, tie=0.1),
}
"""A backend whose caches are in f32 or f16, all else in f32, against the reference on the same stored weights. Random
models of 4 to 8 layers come to 0.02 in f16, whatever the size of what lies between their matrices."""

ROUTED_F16: Final = Tolerance(max=5.0, rms=0.5, kl=5e-2, top1=0.9, tie=1.0)
"""The same in f16 where a router chooses experts. Where two experts score alike, by less than keys and values in f16
move scores, the other one is chosen, which moves that token's logits by whole units, and a little all that look back at
it. Of 24 random models of 6 layers and 8 experts, 24 tokens each, 16 stay within 0.04, as those without experts; in 8 a
tie falls to the other side, and the largest difference is 0.09 to 2.4, KL up to 0.013. In f32 none does."""

ROUNDED: Final[dict[Literal["f32", "f16"], Tolerance]] = {
    "f32": Tolerance(max=2.0, rms=0.3, kl=1e-2, top1=0.75, tie=1.0),
    "f16": Tolerance(max=4.0, rms=0.6, kl=5e-2, top1=0.6, tie=2.5),
}
"""The same where activations are rounded to signed bytes. A value on an edge falls to either side, by a difference in
the last place, and moves all that follows by whole codes: logits by tenths, which is what the rounding itself does to
them. Given the reference's own x, the products of a random model of E2B's features make 1 of 630,784 codes otherwise
than the reference, 2e-6 of a code from the edge (`tests/webgpu/test_flips.py`); left to run, that one has moved 4 of 10
codes by the end of its 8 layers. Random models magnify that more than trained ones: of 40 greedy tokens models/tiny in
codes chooses 39 alike or all, in f32 and f16, a random model of E2B's features 34 to 39 in f32 and 32 in f16."""


def arithmetic(activation: Literal["f32", "f16"], weights: WeightFormat, routed: bool = False) -> Tolerance:
    """What arithmetic explains between a backend and the reference on the same stored weights. routed: the model has
    experts to choose from."""
    if weights == "qat":
        return ROUNDED[activation]
    return ROUTED_F16 if routed and activation == "f16" else ACTIVATIONS[activation]


@dataclass(frozen=True)
class RowTolerance:
    """Limits of the differences of a tower's rows, in units of the rows' root mean square: the largest, and theirs."""

    max: float
    rms: float


TOWERS: Final = RowTolerance(max=5e-5, rms=1e-5)
"""A tower's plan, against the reference on the same stored weights. Three times what random towers of 12 to 27 layers
come to; shallow ones are nearer by half."""

WEIGHTS: Final[dict[WeightFormat, Tolerance]] = {
    "f32": Tolerance(max=1e-5, rms=1e-6, kl=1e-9, top1=1.0, tie=1e-5),
    "f16": Tolerance(max=1e-3, rms=1e-4, kl=1e-7, top1=1.0, tie=1e-3),
    "q8": Tolerance(max=0.5, rms=0.1, kl=1e-3, top1=0.97, tie=0.1),
    "q4": Tolerance(max=5.0, rms=1.0, kl=0.1, top1=0.8, tie=1.0),
}
"""The reference on stored weights, against the reference on the checkpoint's own, over text that models/tiny writes.
f16 is nearly exact because checkpoints are bf16, whose 8 bits fit f16's 11 unless a weight is tiny. With few
parameters models/tiny has the least slack for 4 bits; larger models stay well within."""
