"""The models of the identity table, and their conversations."""

import random
from dataclasses import dataclass

from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Limits
from playwright_tests.identity.media import Turn
from tests.variants import VARIANTS

SMALL_BINDINGS = 65536
"""Bytes of bindings and slices, so small that weights, tables and caches are split everywhere."""


@dataclass(frozen=True)
class Case:
    """A checkpoint in a format. small: exported for bindings and slices of 64 KiB, and so with short chunks."""

    model: str
    weights: WeightFormat
    context: int = 512
    small: bool = True

    @property
    def name(self) -> str:
        """The bundle's name."""
        return f"{self.model.replace('_', '-')}-{self.weights}{'-small' if self.small else ''}"

    @property
    def limits(self) -> Limits:
        """Return the limits of the plans."""
        return Limits(maxStorageBufferBindingSize=SMALL_BINDINGS) if self.small else Limits()


CASES = [
    Case("tiny", "q4", context=2048, small=False),
    Case("tiny", "f32", context=1024),
    Case("tiny", "q4", context=2048),
    *(Case(name, "f32") for name in VARIANTS),
    Case("tiny_coded", "qat", context=1024),
    *(Case(name, "qat") for name in ("coded", "coded_ragged")),
    *(Case(name, weights) for name in ("everything", "ragged") for weights in ("f16", "q8", "q4")),
    Case("gemma3", "q4"),
    Case("gridded", "q4"),
]

MEDIA_CASES = [
    Case("tiny", "q4", context=2048, small=False),
    Case("seeing", "q8", small=False),
    Case("hearing", "f16", small=False),
    Case("blocks", "f32", small=False),
    Case("towerless", "f32", small=False),
    *(Case(name, "q4", small=False) for name in ("blocks", "e2b_towers", "large_tower")),
]
"""The cases with conversations with media. A tower's input cannot be split, so none is small."""


def conversation(chunk: int, window: int, ring: int, vocabulary: int) -> list[Turn]:
    """Return three turns of random ids: a first prompt longer than window and chunk together, and enough ids after it
    that the ring wraps three times."""
    draw = random.Random(chunk * window)
    first = window + chunk + 11
    rest = max(3 * ring - first, 40)
    lengths = [(first, 12), (rest // 2, 12), (rest - rest // 2, 16)]
    # Ids from 30 up are text: special tokens and media placeholders come before.
    return [Turn([draw.randrange(30, vocabulary) for _ in range(length)], steps) for length, steps in lengths]
