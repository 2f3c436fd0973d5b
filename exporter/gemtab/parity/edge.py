"""How near keys and values come to the end of f16."""

import numpy as np

from gemtab.backends.webgpu.cache_scales import F16_MAX
from gemtab.backends.webgpu.engine.caches import Caches
from gemtab.bundle.parity import Edge
from gemtab.bundle.plan import Plan, StateBuffer


class EdgeWatch:
    """Looks at what an f32 plan has in its caches, which the plan `half` keeps in f16.

    The f16 plan's own caches would not tell: what is beyond f16 is not in them.
    """

    def __init__(self, caches: Caches, half: Plan) -> None:
        self._caches = caches
        self._scales = {
            _cache(name): buffer.scale for name, buffer in half.buffers.items() if isinstance(buffer, StateBuffer)
        }
        self._largest = Edge(share=0.0, cache="")

    def look(self) -> None:
        """Takes note of the largest number that is there now."""
        for name, numbers in self._caches.read_all(np.float32):
            share = float(np.abs(numbers).max()) * self._scales[_cache(name)] / F16_MAX
            if share > self._largest.share:
                self._largest = Edge(share=share, cache=_cache(name))

    @property
    def edge(self) -> Edge:
        """The nearest so far."""
        return self._largest


def _cache(buffer: str) -> str:
    """A cache's name and part, whichever of its segments the buffer is: plans cut them differently."""
    return ":".join(buffer.split(":")[:2])
