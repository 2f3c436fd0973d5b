"""The amount of comparison of `gemtab verify`."""

from dataclasses import dataclass
from typing import Final

from gemtab.backends.webgpu.engine.device import Device
from gemtab.bundle.parity import ExtentChoice, ExtentName
from gemtab.bundle.plan import Plan, StateBuffer, WeightBuffer

LARGE_BYTES: Final = 1 << 30
"""Bytes of a plan's weights from which a CPU takes seconds for a token."""


@dataclass(frozen=True)
class Extent:
    """The texts of a comparison.

    questions: number of short prompts. steps: tokens after each prompt. wraps: tokens of the long prompt for each row
    of the largest ring cache; 0 for no long prompt. detail: maximum tokens of an image or frame; None for the model's
    own.
    """

    name: ExtentName
    questions: int
    steps: int
    wraps: float
    detail: int | None

    def long(self, plan: Plan) -> int | None:
        """Return the minimum number of tokens of the long prompt; None for no long prompt."""
        return int(self.wraps * _largest_ring(plan)) if self.wraps else None


EXTENTS: Final[dict[ExtentName, Extent]] = {
    "full": Extent("full", questions=3, steps=24, wraps=1.5, detail=None),
    "short": Extent("short", questions=3, steps=8, wraps=1.0625, detail=70),
    "quick": Extent("quick", questions=1, steps=4, wraps=0, detail=70),
}


def choose_extent(choice: ExtentChoice, plan: Plan, device: Device) -> Extent:
    """Return the extent. `auto` is full, but short for a large model without a GPU."""
    if choice != "auto":
        return EXTENTS[choice]
    size = sum(buffer.bytes for buffer in plan.buffers.values() if isinstance(buffer, WeightBuffer))
    return EXTENTS["short" if device.software and size > LARGE_BYTES else "full"]


def _largest_ring(plan: Plan) -> int:
    rings = [buffer.ring.rows for buffer in plan.buffers.values() if isinstance(buffer, StateBuffer) and buffer.ring]
    return max(rings, default=64)
