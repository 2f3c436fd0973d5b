"""A WebGPU device for Python, through wgpu-native."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import wgpu

from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.backends.webgpu.engine.watch import UNWATCHED, GpuWatch
from gemtab.bundle.memory import allocated
from gemtab.bundle.plan import Limits
from gemtab.errors import DeviceError

_NATIVE_NAMES = {"subgroups": "subgroup", "shader-f16": "shader-f16"}
"""wgpu-native's names of WebGPU's features."""

_STORAGE = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST

_ENABLES = {"shader-f16": "enable f16;\n", "subgroups": ""}
"""Lines before a kernel's text, by feature. For subgroups none: naga rejects the `enable` line."""


ADAPTER = "GEMTAB_ADAPTER"
"""The environment variable that chooses an adapter by a part of its name."""


class Copy(NamedTuple):
    """A copy of `size` bytes from byte `start` of `source` to byte `offset` of `target`."""

    source: wgpu.GPUBuffer
    start: int
    target: wgpu.GPUBuffer
    offset: int
    size: int


@dataclass(frozen=True)
class Device:
    """An open device and its WebGPU features.

    gpu: wgpu's device. software: whether the CPU emulates a GPU. watch: records each wait for the GPU.
    """

    gpu: wgpu.GPUDevice
    features: frozenset[str]
    name: str
    software: bool = False
    watch: GpuWatch = UNWATCHED

    def module(self, code: str, features: tuple[str, ...], label: str) -> wgpu.GPUShaderModule:
        """Return the shader module of a kernel's text, with the lines that enable its features."""
        enables = "".join(_ENABLES[feature] for feature in features)
        return self.gpu.create_shader_module(label=label, code=enables + code)

    def storage(self, label: str, size: int) -> wgpu.GPUBuffer:
        """Return a new storage buffer, zeroed, of `size` bytes, rounded up to whole vectors."""
        return self.gpu.create_buffer(label=label, size=allocated(size), usage=_STORAGE)

    def write(self, buffer: wgpu.GPUBuffer, data: np.ndarray, offset: int = 0) -> None:
        """Write `data` into a buffer, from byte `offset` on."""
        self.gpu.queue.write_buffer(buffer, offset, np.ascontiguousarray(data))

    def read(self, buffer: wgpu.GPUBuffer, size: int) -> memoryview:
        """Return the first `size` bytes of a buffer, rounded up to whole words, after all submitted work."""
        with self.watch.waiting():
            data: memoryview = self.gpu.queue.read_buffer(buffer, 0, -(-size // 4) * 4)
        return data

    def copy(self, label: str, copies: Iterable[Copy]) -> None:
        """Submit copies from buffer to buffer."""
        encoder = self.gpu.create_command_encoder(label=label)
        for one in copies:
            encoder.copy_buffer_to_buffer(*one)
        self.gpu.queue.submit([encoder.finish()])


def open_device(limits: Limits, watch: GpuWatch = UNWATCHED) -> Device:
    """Open the device of the best adapter, with at least `limits`. Vulkan comes before OpenGL, which has no f16.

    GEMTAB_ADAPTER, if set, restricts the adapters. watch: records each wait for the GPU. Raises DeviceError if there is
    no such adapter, or if its limits are too small.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    adapters = sorted(wgpu.gpu.enumerate_adapters_sync(), key=_preference)
    if not adapters:
        raise DeviceError(
            "No WebGPU adapter was found. Install a Vulkan driver (on Debian and Ubuntu, also without a GPU: "
            "apt install mesa-vulkan-drivers) and try again."
        )
    adapter = _named(adapters, os.environ.get(ADAPTER, ""))[0]
    name = str(adapter.info["device"])
    wanted = _required_limits(limits, adapter.limits, name)
    features = [feature for feature, native in _NATIVE_NAMES.items() if native in adapter.features]
    with gpu_errors(f"The adapter {name} could not be opened"):
        gpu = adapter.request_device_sync(
            required_features=[_NATIVE_NAMES[feature] for feature in features], required_limits=wanted
        )
    return Device(gpu, frozenset(features), name, adapter.info["adapter_type"] == "CPU", watch)


def _named(adapters: Sequence[Any], part: str) -> list[Any]:
    """Return the adapters, at least one, whose names contain `part`, in upper or lower case."""
    found = [adapter for adapter in adapters if part.lower() in str(adapter.info["device"]).lower()]
    if not found:
        names = sorted({str(adapter.info["device"]) for adapter in adapters})
        raise DeviceError(
            f"{ADAPTER} is {part!r}, but no WebGPU adapter has that in its name: found {', '.join(names)}. "
            f"Set {ADAPTER} to a part of one of these names, or unset it."
        )
    return found


def _preference(adapter: Any) -> tuple[int, int]:
    kinds = {"DiscreteGPU": 0, "IntegratedGPU": 1, "CPU": 3}
    return (adapter.info["backend_type"] == "OpenGL", kinds.get(adapter.info["adapter_type"], 2))


def _required_limits(limits: Limits, found: dict[str, int], name: str) -> dict[str, int]:
    wanted = {}
    for camel, least in limits.model_dump().items():
        native = "".join(f"-{c.lower()}" if c.isupper() else c for c in camel)
        if found[native] < least:
            raise DeviceError(
                f"The adapter {name} has {native} = {found[native]:,}, but this plan needs {least:,}. Export again "
                "with smaller limits, or use another adapter."
            )
        wanted[native] = least
    return wanted
