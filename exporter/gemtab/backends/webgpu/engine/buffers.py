"""The GPU buffers of a plan, except its caches."""

from collections.abc import Iterable, Mapping

import numpy as np
import wgpu

from gemtab.backends.webgpu.engine.caches import Caches
from gemtab.backends.webgpu.engine.device import Device
from gemtab.bundle.plan import (
    ControlBuffer,
    Plan,
    Residence,
    RowsBuffer,
    ScratchBuffer,
    StateBuffer,
    WeightBuffer,
    bound_for,
    evaluate,
)


class PlanBuffers:
    """Weights, rows of embeddings on the host, control buffers and slots of a plan on a device.

    A buffer of weights or rows is created only if a dispatch for `embeddings` binds it. embeddings: whether they
    are on the GPU or on the host. Slots exist from `allocate_slots` to `release_slots`. caches: has the plan's state
    buffers.
    """

    def __init__(self, device: Device, plan: Plan, embeddings: Residence, caches: Caches) -> None:
        self._device = device
        self._plan = plan
        self._caches = caches
        self._slots: list[wgpu.GPUBuffer] = []
        bound = bound_for(plan, embeddings)
        self._weights = {
            name: device.storage(name, buffer.bytes)
            for name, buffer in plan.buffers.items()
            if name in bound and isinstance(buffer, WeightBuffer | RowsBuffer)
        }
        self._controls = {
            name: device.storage(name, buffer.bytes)
            for name, buffer in plan.buffers.items()
            if isinstance(buffer, ControlBuffer)
        }

    @property
    def weights(self) -> list[tuple[str, WeightBuffer | RowsBuffer]]:
        """Names and plan entries of the buffers of weights and rows that were created."""
        entries = ((name, self._plan.buffers[name]) for name in self._weights)
        return [(name, entry) for name, entry in entries if isinstance(entry, WeightBuffer | RowsBuffer)]

    @property
    def weight_bytes(self) -> int:
        """GPU bytes of weights, and of rows of embeddings on the host."""
        return _bytes(self._weights.values())

    @property
    def scratch_bytes(self) -> int:
        """GPU bytes of the existing slots and of control buffers."""
        return _bytes(self._slots) + _bytes(self._controls.values())

    def allocate_slots(self, sizes: Mapping[str, int]) -> None:
        """Create the slots, zeroed, for a step of these sizes (T, P, C). Only the slots of towers depend on sizes."""
        self._slots = [
            self._device.storage(f"slot {i}", evaluate(size, dict(sizes))) for i, size in enumerate(self._plan.slots)
        ]

    def release_slots(self) -> None:
        """Release the memory of the slots after the GPU has done the submitted work."""
        for slot in self._slots:
            slot.destroy()
        self._slots = []

    def has_control(self, name: str) -> bool:
        """Whether the plan has a control buffer of that name."""
        return name in self._controls

    def buffer(self, name: str) -> wgpu.GPUBuffer:
        """Return the GPU buffer of a name in the plan. The first call for a cache creates the cache."""
        entry = self._plan.buffers[name]
        match entry:
            case ScratchBuffer():
                return self._slots[entry.slot]
            case StateBuffer():
                return self._caches.buffer(name)
            case ControlBuffer():
                return self._controls[name]
            case _:
                return self._weights[name]

    def write(self, name: str, data: np.ndarray, offset: int = 0) -> None:
        """Write `data` into the buffer of a name, from byte `offset` on."""
        self._device.write(self.buffer(name), data, offset)


def _bytes(buffers: Iterable[wgpu.GPUBuffer]) -> int:
    return sum(buffer.size for buffer in buffers)
