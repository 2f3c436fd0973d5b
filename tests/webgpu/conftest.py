"""A device, opened once; and a graph run on it beside the reference."""

from collections.abc import Callable

import pytest

from gemtab.backends.webgpu.engine.device import Device, open_device
from gemtab.bundle.plan import Limits


@pytest.fixture(scope="session")
def devices() -> Callable[[bool], Device]:
    """The device, with or without its subgroups. Fails if there is no adapter."""
    device = open_device(Limits())
    plain = Device(device.gpu, device.features - {"subgroups"}, device.name)
    assert {"subgroups", "shader-f16"} <= device.features, f"{device.name} has only {sorted(device.features)}"
    return lambda subgroups: device if subgroups else plain
