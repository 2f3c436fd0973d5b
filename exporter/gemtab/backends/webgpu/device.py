"""A WebGPU device for Python, through wgpu-native."""

import os
import tempfile
from dataclasses import dataclass
from typing import Any

import wgpu

from gemtab.backends.webgpu.gpu_errors import gpu_errors
from gemtab.backends.webgpu.watch import UNWATCHED, GpuWatch
from gemtab.bundle.plan import Limits
from gemtab.errors import DeviceError

_NATIVE_NAMES = {"subgroups": "subgroup", "shader-f16": "shader-f16"}
"""WebGPU's feature names, as wgpu-native calls them."""

_ENABLES = {"shader-f16": "enable f16;\n", "subgroups": ""}
"""What has to stand before a kernel's text: naga takes subgroups from the device and refuses the line."""


@dataclass(frozen=True)
class Device:
    """An open device and the WebGPU features it has."""

    gpu: Any
    features: frozenset[str]
    name: str
    watch: GpuWatch = UNWATCHED

    def module(self, code: str, features: tuple[str, ...], label: str) -> Any:
        """A shader module of a kernel's text, with the lines that switch its features on."""
        enables = "".join(_ENABLES[feature] for feature in features)
        return self.gpu.create_shader_module(label=label, code=enables + code)


def open_device(limits: Limits, watch: GpuWatch = UNWATCHED) -> Device:
    """The best adapter's device with at least `limits`; Vulkan before OpenGL, which has no f16.

    watch: told of what is waited for.

    Raises DeviceError where there is no adapter or its limits are too small.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    adapters = sorted(wgpu.gpu.enumerate_adapters_sync(), key=_preference)
    if not adapters:
        raise DeviceError(
            "No WebGPU adapter was found. Install a Vulkan driver (on Debian and Ubuntu, also without a GPU: "
            "apt install mesa-vulkan-drivers) and try again."
        )
    adapter = adapters[0]
    name = str(adapter.info["device"])
    wanted = _required_limits(limits, adapter.limits, name)
    features = [feature for feature, native in _NATIVE_NAMES.items() if native in adapter.features]
    with gpu_errors(f"The adapter {name} could not be opened"):
        gpu = adapter.request_device_sync(
            required_features=[_NATIVE_NAMES[feature] for feature in features], required_limits=wanted
        )
    return Device(gpu, frozenset(features), name, watch)


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
