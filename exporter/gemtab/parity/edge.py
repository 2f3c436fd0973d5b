"""Measure how close keys and values come to the largest f16 number."""

import numpy as np

from gemtab.backends.webgpu.cache_scales import F16_MAX
from gemtab.backends.webgpu.engine.caches import Caches
from gemtab.bundle.parity import Edge
from gemtab.bundle.plan import Plan, StateBuffer


class EdgeWatch:
    """Looks at the caches of an f32 plan, in place of those of the f16 plan `half`.

    The f16 plan's own caches cannot show numbers beyond f16.
    """

    def __init__(self, caches: Caches, half: Plan) -> None:
        self._caches = caches
        self._scales = {
            _cache(name): buffer.scale for name, buffer in half.buffers.items() if isinstance(buffer, StateBuffer)
        }
        self._largest = Edge(share=0.0, cache="")

    def look(self) -> None:
        """Record the largest number that is in the caches now."""
        for name, numbers in self._caches.read_all(np.float32):
            share = float(np.abs(numbers).max()) * self._scales[_cache(name)] / F16_MAX
            if share > self._largest.share:
                self._largest = Edge(share=share, cache=_cache(name))

    @property
    def edge(self) -> Edge:
        """The largest share of f16's range so far."""
        return self._largest


def _cache(buffer: str) -> str:
    """Return a cache's name and part without the segment: plans cut caches differently."""
    return ":".join(buffer.split(":")[:2])
