"""The caches of a model: keys and values of the tokens so far, and the position."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import wgpu

from gemtab.backends.webgpu.engine.device import Copy, Device
from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.bundle.plan import Plan, Ring, StateBuffer, evaluate
from gemtab.errors import BundleError, ContextError


@dataclass(frozen=True)
class Snapshot:
    """Copies of the rings as they were at `position`, by name. written: as in Caches."""

    position: int
    written: int
    rings: Mapping[str, wgpu.GPUBuffer]

    @property
    def bytes(self) -> int:
        """GPU bytes of the copies."""
        return sum(copy.size for copy in self.rings.values())


class Caches:
    """The state buffers of a plan on a device. Each is created, zeroed, before the first step that uses it.

    A second plan with the same state buffers, such as a draft model's, may run on the same caches.

    context: most tokens of the caches, at most the plan's context.
    """

    def __init__(self, device: Device, plan: Plan, context: int | None = None) -> None:
        self.context = min(context or plan.context, plan.context)
        self._device = device
        self._entries = _entries(plan)
        self._buffers: dict[str, wgpu.GPUBuffer] = {}
        self._position = 0
        self._written = 0

    @property
    def position(self) -> int:
        """Tokens in the caches."""
        return self._position

    @property
    def written(self) -> int:
        """The largest position stored in the rings since they were empty, plus 1. A rewind does not lower this number:
        overwritten rows stay overwritten."""
        return self._written

    @property
    def bytes(self) -> int:
        """GPU bytes of the buffers created so far."""
        return sum(buffer.size for buffer in self._buffers.values())

    def check(self, plan: Plan) -> None:
        """Raise BundleError if `plan` has state buffers that are missing here, or differ."""
        for name, entry in _entries(plan).items():
            if self._entries.get(name) != entry:
                raise BundleError(
                    f"The plan's cache {name} is not one of the caches that the plan is to run on: the two models do "
                    "not belong together. Export them as one bundle."
                )

    # --- growth -----------------------------------------------------------------------------------------

    def buffer(self, name: str) -> wgpu.GPUBuffer:
        """Return the buffer of a cache. Creates a missing one."""
        self.ensure([name])
        return self._buffers[name]

    def ensure(self, names: Iterable[str]) -> None:
        """Create the missing caches among the named buffers: all of them, or none if memory runs out."""
        missing = {name for name in names if name in self._entries and name not in self._buffers}
        self._buffers |= {name: self._device.storage(name, self._size(name)) for name in sorted(missing)}

    def _size(self, name: str) -> int:
        return evaluate(self._entries[name].bytes, {"T": 1, "P": self.context, "C": self.context})

    # --- position ---------------------------------------------------------------------------------------

    def check_remaining(self, tokens: int) -> None:
        """Raise ContextError if `tokens` more tokens do not fit the context."""
        end = self._position + tokens
        if end > self.context:
            raise ContextError(
                f"{end} tokens do not fit the context of {self.context}: shorten the prompt or start a new "
                "conversation."
            )

    def advance(self, tokens: int) -> None:
        """Count tokens whose keys and values a step has stored."""
        self._position += tokens
        self._written = max(self._written, self._position)

    def rewind(self, position: int) -> bool:
        """Go back to `position` if the rings still hold its window. Return whether they did."""
        if not 0 <= position <= self._position:
            return False
        if position == 0:
            self.reset()
            return True
        if any(max(0, position - ring.window) < self._written - ring.rows for ring in self._rings().values()):
            return False
        self._position = position
        return True

    def reset(self) -> None:
        """Start over with empty caches."""
        self._position = self._written = 0

    # --- snapshots --------------------------------------------------------------------------------------

    @gpu_errors("A snapshot could not be taken")
    def snapshot(self) -> Snapshot:
        """Copy the rings, so that `restore` can return to the current position."""
        rings = {name: self._buffers[name] for name in self._rings() if name in self._buffers}
        copies = {name: self._device.storage(f"snapshot of {name}", ring.size) for name, ring in rings.items()}
        self._device.copy("snapshot", (Copy(rings[name], 0, copy, 0, copy.size) for name, copy in copies.items()))
        return Snapshot(self._position, self._written, copies)

    @gpu_errors("A snapshot could not be restored")
    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state saved in `snapshot`. Rows of full caches after its position are never read."""
        copies = (Copy(copy, 0, self._buffers[name], 0, copy.size) for name, copy in snapshot.rings.items())
        self._device.copy("restore", copies)
        self._position, self._written = snapshot.position, snapshot.written

    def _rings(self) -> dict[str, Ring]:
        return {name: entry.ring for name, entry in self._entries.items() if entry.ring is not None}

    # --- reading ----------------------------------------------------------------------------------------

    @gpu_errors("A value could not be read back")
    def read(self, name: str, dtype: type[np.generic]) -> np.ndarray:
        """Return all numbers of a cache's buffer."""
        buffer = self.buffer(name)
        return np.frombuffer(self._device.read(buffer, buffer.size), dtype).copy()

    def read_all(self, dtype: type[np.generic]) -> Iterator[tuple[str, np.ndarray]]:
        """Yield name and numbers of each buffer created so far."""
        for name in self._entries:
            if name in self._buffers:
                yield name, self.read(name, dtype)


def _entries(plan: Plan) -> dict[str, StateBuffer]:
    return {name: buffer for name, buffer in plan.buffers.items() if isinstance(buffer, StateBuffer)}
