"""The compute pipelines of a plan."""

from pathlib import Path
from typing import NamedTuple

import wgpu

from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.bundle.plan import Form, Kernel, Plan
from gemtab.bundle.reading import read_text
from gemtab.errors import DeviceError

_BINDING_TYPES = {"read": "read-only-storage", "read_write": "storage", "uniform": "uniform"}


class Compiled(NamedTuple):
    """A kernel that is ready to run."""

    layout: wgpu.GPUBindGroupLayout
    pipeline: wgpu.GPUComputePipeline


class Pipelines:
    """One pipeline per kernel of a plan, compiled from the WGSL files of the bundle in `folder`.

    Raises BundleError if the GPU rejects a kernel, and DeviceError if the device can run no form of one.
    """

    def __init__(self, device: Device, folder: Path, plan: Plan) -> None:
        self._device = device
        self._folder = folder
        self._compiled = {name: self._compile(name, kernel) for name, kernel in plan.kernels.items()}

    def get(self, kernel: str) -> Compiled:
        """Return the pipeline of a kernel and the layout of its bind groups."""
        return self._compiled[kernel]

    def _compile(self, name: str, kernel: Kernel) -> Compiled:
        layout, form = self._layout(name, kernel), choose_form(self._device, kernel)
        code = read_text(self._folder, form.file)
        with gpu_errors(f"{self._folder / form.file}, of kernel {name}"), self._device.watch.waiting():
            return Compiled(layout, self._pipeline(name, form, code, layout))

    def _layout(self, name: str, kernel: Kernel) -> wgpu.GPUBindGroupLayout:
        entries = [
            {"binding": i, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": _BINDING_TYPES[access]}}
            for i, access in enumerate(kernel.bindings)
        ]
        return self._device.gpu.create_bind_group_layout(label=name, entries=entries)

    def _pipeline(self, name: str, form: Form, code: str, bindings: wgpu.GPUBindGroupLayout) -> wgpu.GPUComputePipeline:
        module = self._device.module(code, form.features, name)
        layout = self._device.gpu.create_pipeline_layout(bind_group_layouts=[bindings])
        return self._device.gpu.create_compute_pipeline(
            label=name,
            layout=layout,
            compute={"module": module, "entry_point": form.entry_point, "constants": form.constants},
        )


def choose_form(device: Device, kernel: Kernel) -> Form:
    """Return the first form of a kernel that the device can run. Raises DeviceError if there is none."""
    for form in kernel.forms:
        if set(form.features) <= device.features:
            return form
    raise DeviceError(f"The adapter {device.name} can run no form of {kernel.forms[-1].file}.")
