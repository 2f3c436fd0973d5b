"""A program of a plan on a device, ready to encode."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import wgpu

from gemtab.backends.webgpu.engine.buffers import PlanBuffers
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.pipelines import Pipelines
from gemtab.bundle.memory import params_offsets
from gemtab.bundle.plan import Dispatch, Program, Residence, evaluate


class Launch(NamedTuple):
    """A dispatch that a step runs. number: index in the program. grid: workgroups in x, y and z, none of them 0."""

    number: int
    dispatch: Dispatch
    grid: tuple[int, ...]


class ReadyProgram:
    """A program with its params in one uniform buffer. Bind groups are created on first use."""

    def __init__(
        self,
        device: Device,
        name: str,
        program: Program,
        embeddings: Residence,
        pipelines: Pipelines,
        buffers: PlanBuffers,
    ) -> None:
        self._device = device
        self._dispatches = [
            (number, one) for number, one in enumerate(program.dispatches) if one.embeddings in (None, embeddings)
        ]
        self._pipelines = pipelines
        self._buffers = buffers
        self._offsets = params_offsets(program)
        self._params = self._make_params(name, program) if self._offsets[-1] else None
        self._groups: dict[int, wgpu.GPUBindGroup] = {}

    @property
    def params_bytes(self) -> int:
        """GPU bytes of the params."""
        return self._params.size if self._params else 0

    def launches(self, sizes: Mapping[str, int], first: int = 0, stop: int | None = None) -> list[Launch]:
        """Return the dispatches first … stop - 1 that a step of these sizes (T, P, C) runs. Dispatches with a 0 in the
        grid are left out."""
        values = dict(sizes)
        grids = (
            Launch(number, one, tuple(evaluate(expr, values) for expr in one.grid))
            for number, one in self._dispatches
            if first <= number and (stop is None or number < stop)
        )
        return [launch for launch in grids if 0 not in launch.grid]

    def unbound(self, launches: Sequence[Launch]) -> set[str]:
        """Return the names of the buffers of dispatches that have no bind group yet."""
        return {name for one in launches if one.number not in self._groups for name in one.dispatch.bindings}

    def encode(self, compute: wgpu.GPUComputePassEncoder, launches: Sequence[Launch]) -> None:
        """Encode dispatches in order."""
        for launch in launches:
            compute.set_pipeline(self._pipelines.get(launch.dispatch.kernel).pipeline)
            compute.set_bind_group(0, self._group(launch))
            compute.dispatch_workgroups(*launch.grid)

    def release_groups(self) -> None:
        """Drop the bind groups before their buffers are released."""
        self._groups.clear()

    def _group(self, launch: Launch) -> wgpu.GPUBindGroup:
        if launch.number not in self._groups:
            self._groups[launch.number] = self._make_group(launch)
        return self._groups[launch.number]

    def _make_group(self, launch: Launch) -> wgpu.GPUBindGroup:
        resources = [{"buffer": self._buffers.buffer(name)} for name in launch.dispatch.bindings]
        if launch.dispatch.params is not None:
            start, end = self._offsets[launch.number : launch.number + 2]
            resources.append({"buffer": self._params, "offset": start, "size": end - start})
        return self._device.gpu.create_bind_group(
            label=launch.dispatch.label,
            layout=self._pipelines.get(launch.dispatch.kernel).layout,
            entries=[{"binding": i, "resource": resource} for i, resource in enumerate(resources)],
        )

    def _make_params(self, name: str, program: Program) -> wgpu.GPUBuffer:
        words = np.zeros(self._offsets[-1] // 4, np.uint32)
        for start, dispatch in zip(self._offsets, program.dispatches, strict=False):
            params = dispatch.params or ()
            words[start // 4 : start // 4 + len(params)] = params
        return self._device.gpu.create_buffer_with_data(
            label=f"{name} params", data=words, usage=wgpu.BufferUsage.UNIFORM
        )
