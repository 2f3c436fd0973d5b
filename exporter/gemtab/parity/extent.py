"""How much `gemtab verify` compares."""

from dataclasses import dataclass
from typing import Final

from gemtab.backends.webgpu.engine.device import Device
from gemtab.bundle.parity import ExtentChoice, ExtentName
from gemtab.bundle.plan import Plan, StateBuffer, WeightBuffer

LARGE_BYTES: Final = 1 << 30
"""Weights of a plan from which the processor, where it stands in for a GPU, takes seconds for a token."""


@dataclass(frozen=True)
class Extent:
    """What the backends are compared on.

    questions: how many short prompts. steps: tokens after each prompt. wraps: how many tokens the long prompt has for
    each row of the largest ring cache; 0 for no long prompt. detail: the most tokens of a picture or frame, None for as
    many as the model has by default.
    """

    name: ExtentName
    questions: int
    steps: int
    wraps: float
    detail: int | None

    def long(self, plan: Plan) -> int | None:
        """Tokens that the long prompt has at least."""
        return int(self.wraps * _largest_ring(plan)) if self.wraps else None


EXTENTS: Final[dict[ExtentName, Extent]] = {
    "full": Extent("full", questions=3, steps=24, wraps=1.5, detail=None),
    "short": Extent("short", questions=3, steps=8, wraps=1.0625, detail=70),
    "quick": Extent("quick", questions=1, steps=4, wraps=0, detail=70),
}


def choose_extent(choice: ExtentChoice, plan: Plan, device: Device) -> Extent:
    """`auto` is full, except where a large model has no GPU to run on."""
    if choice != "auto":
        return EXTENTS[choice]
    size = sum(buffer.bytes for buffer in plan.buffers.values() if isinstance(buffer, WeightBuffer))
    return EXTENTS["short" if device.software and size > LARGE_BYTES else "full"]


def _largest_ring(plan: Plan) -> int:
    rings = [buffer.ring.rows for buffer in plan.buffers.values() if isinstance(buffer, StateBuffer) and buffer.ring]
    return max(rings, default=64)
