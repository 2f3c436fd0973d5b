"""Runs the programs of one plan on one device."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from gemtab.backends.webgpu.engine.buffers import PlanBuffers
from gemtab.backends.webgpu.engine.caches import Caches
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.backends.webgpu.engine.pipelines import Pipelines
from gemtab.backends.webgpu.engine.program import ReadyProgram
from gemtab.bundle.memory import MemoryNeed
from gemtab.bundle.plan import Plan, Residence


class PlanRunner:
    """A plan on a device: its buffers, pipelines and programs, and the caches that programs use.

    The runner knows nothing of tokens: `TextRunner` and `Tower` write a program's inputs. embeddings: whether they
    are on the GPU or on the host.
    """

    def __init__(
        self,
        device: Device,
        plan: Plan,
        embeddings: Residence,
        caches: Caches,
        buffers: PlanBuffers,
        pipelines: Pipelines,
    ) -> None:
        self.device = device
        self.plan = plan
        self.embeddings = embeddings
        self.caches = caches
        self.buffers = buffers
        self._pipelines = pipelines
        self._programs: dict[str, ReadyProgram] = {}

    @property
    def memory(self) -> MemoryNeed:
        """The bytes that are allocated now: caches created so far, and a tower's slots while it encodes. Caches that
        runners share count in each runner."""
        params = sum(program.params_bytes for program in self._programs.values())
        return MemoryNeed(self.buffers.weight_bytes, self.caches.bytes, self.buffers.scratch_bytes + params)

    def submit(self, program: str, sizes: Mapping[str, int], first: int = 0, stop: int | None = None) -> None:
        """Submit a step of a program, or its dispatches first … stop - 1. Creates missing caches.

        sizes: T, P and C, see `gemtab.bundle.plan`.
        """
        ready = self._ready(program)
        with self.device.watch.waiting():
            launches = ready.launches(sizes, first, stop)
            self.caches.ensure(ready.unbound(launches))
            encoder = self.device.gpu.create_command_encoder(label=program)
            compute = encoder.begin_compute_pass(label=program)
            ready.encode(compute, launches)
            compute.end()
            self.device.gpu.queue.submit([encoder.finish()])

    def settle(self) -> None:
        """Wait for the submitted work if there is a watch, so that each wait is for one piece of work."""
        if self.device.watch.active:
            self.wait()

    def wait(self) -> None:
        """Wait for the submitted work."""
        self.read("step", np.uint32, 1)

    @gpu_errors("A value could not be written")
    def write(self, name: str, data: np.ndarray) -> None:
        """Write `data` at the beginning of a buffer of the plan."""
        self.buffers.write(name, data)

    @gpu_errors("A value could not be read back")
    def read(self, name: str, dtype: type[np.generic], count: int) -> np.ndarray:
        """Return the first `count` elements of a buffer of the plan, after the submitted work."""
        data = self.device.read(self.buffers.buffer(name), count * np.dtype(dtype).itemsize)
        return np.frombuffer(data, dtype)[:count].copy()

    @contextmanager
    def scratch(self, sizes: Mapping[str, int]) -> Iterator[None]:
        """Create the slots for a step of these sizes; release them at the end of the block."""
        try:
            self.buffers.allocate_slots(sizes)
            yield
        finally:
            for program in self._programs.values():
                program.release_groups()
            self.buffers.release_slots()

    def _ready(self, name: str) -> ReadyProgram:
        if name not in self._programs:
            self._programs[name] = ReadyProgram(
                self.device, name, self.plan.programs[name], self.embeddings, self._pipelines, self.buffers
            )
        return self._programs[name]
