"""All tolerances of backends and formats."""

from dataclasses import dataclass
from typing import Final, Literal

from gemtab.bundle.manifest import WeightFormat


@dataclass(frozen=True)
class Tolerance:
    """Limits of a `LogitError`. tie: logits that are closer than this count as equal in greedy decoding."""

    max: float
    rms: float
    kl: float
    top1: float
    tie: float


TRANSFORMERS_MAX: Final = 1e-4
"""Maximum difference of a logit between the reference and transformers, both in f32 with exact angles."""

EXACT_POSITIONS: Final = 64
"""Positions up to which transformers' angles are nearly exact. transformers multiplies positions by frequencies in f32,
so its error grows with the position; the reference and all backends compute angles in f64 or as exactly."""


def transformers_max(position: int) -> float:
    """Return the maximum difference at a position from unchanged transformers. Random models with E2B's features differ
    by 0.01 at position 20,000 and by 0.13 at 131,000; with angles in f64, by less than 1e-4 at both."""
    return TRANSFORMERS_MAX * max(1.0, position / EXACT_POSITIONS)


ACTIVATIONS: Final[dict[Literal["f32", "f16"], Tolerance]] = {
    "f32": Tolerance(max=2e-3, rms=5e-4, kl=1e-6, top1=0.99, tie=2e-3),
    "f16": Tolerance(max=0.3, rms=0.05, kl=2e-3, top1=0.97, tie=0.1),
}
"""A backend with caches in f32 or f16 and all else in f32, against the reference on the same stored weights. Random
models of 4 to 8 layers reach 0.02 in f16, whatever the size of activations."""

ROUTED_F16: Final = Tolerance(max=5.0, rms=0.5, kl=5e-2, top1=0.9, tie=1.0)
"""The same in f16 where a router chooses experts. Keys and values in f16 move scores; where two experts score nearly
the same, the other one may be chosen. That moves the token's logits by whole units, and slightly those of all later
tokens that attend to it. Of 24 random models (6 layers, 8 experts, 24 tokens each), 16 stay within 0.04 as models
without experts do; in 8 a tie is decided differently, with differences of 0.09 to 2.4 and KL up to 0.013. In f32 none
is."""

ROUNDED: Final[dict[Literal["f32", "f16"], Tolerance]] = {
    "f32": Tolerance(max=2.0, rms=0.3, kl=1e-2, top1=0.75, tie=1.0),
    "f16": Tolerance(max=4.0, rms=0.6, kl=5e-2, top1=0.6, tie=2.5),
}
"""The same where activations are rounded to signed bytes. A tiny difference moves a value near an edge to the other
code,
and later activations by whole codes: logits change by tenths, as by the rounding itself. Given the reference's own
inputs, the products of a random model with E2B's features differ in 1 of 630,784 codes, 2e-6 of a code from the edge
(`tests/webgpu/test_flips.py`); after 8 layers that one code has changed 4 of 10 codes. Random models magnify such
differences more than trained ones: of 40 greedy tokens, models/tiny in integers chooses 39 or 40 alike in f32 and f16;
a random model with E2B's features 34 to 39 in f32 and 32 in f16."""


def arithmetic(activation: Literal["f32", "f16"], weights: WeightFormat, routed: bool = False) -> Tolerance:
    """Return the tolerance between a backend and the reference on the same stored weights. routed: the model has
    experts."""
    if weights == "qat":
        return ROUNDED[activation]
    return ROUTED_F16 if routed and activation == "f16" else ACTIVATIONS[activation]


@dataclass(frozen=True)
class RowTolerance:
    """Maximum and RMS of the differences of a tower's rows, in units of the rows' root mean square."""

    max: float
    rms: float


TOWERS: Final = RowTolerance(max=5e-5, rms=1e-5)
"""A tower's plan against the reference on the same stored weights: three times the differences of random towers of 12
to 27 layers. Shallow towers have half the differences."""

WEIGHTS: Final[dict[WeightFormat, Tolerance]] = {
    "f32": Tolerance(max=1e-5, rms=1e-6, kl=1e-9, top1=1.0, tie=1e-5),
    "f16": Tolerance(max=1e-3, rms=1e-4, kl=1e-7, top1=1.0, tie=1e-3),
    "q8": Tolerance(max=0.5, rms=0.1, kl=1e-3, top1=0.97, tie=0.1),
    "q4": Tolerance(max=5.0, rms=1.0, kl=0.1, top1=0.8, tie=1.0),
}
"""The reference on stored weights against the reference on the checkpoint's weights, over text that models/tiny writes.
f16 is nearly exact: checkpoints are bf16, whose 8 bits fit f16's 11 unless a weight is tiny. models/tiny has few
parameters, and so the largest error in 4 bits; larger models are well within."""
