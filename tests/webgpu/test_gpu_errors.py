"""What wgpu says becomes the error that fits it."""

import pytest
import wgpu

from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.errors import BundleError, ContextError, DeviceError, GemtabError


@pytest.mark.parametrize(
    ("said", "told", "words"),
    [
        (wgpu.GPUValidationError("Shader global is not available"), BundleError, "the GPU refuses it"),
        (wgpu.GPUValidationError("Parent device is lost"), DeviceError, "lost"),
        (wgpu.GPUOutOfMemoryError("no"), DeviceError, "no memory left"),
        (wgpu.GPUInternalError("x" * 5000), DeviceError, "failed"),
        (wgpu.GPUError("?"), DeviceError, "failed"),
        (RuntimeError("Buffer mapping failed"), DeviceError, "mapping failed"),
        (OverflowError("out of range"), BundleError, "cannot be"),
        (ZeroDivisionError("by zero"), BundleError, "cannot be"),
        (ContextError("Too long."), ContextError, "Too long."),
    ],
    ids=lambda value: str(value)[:20],
)
def test_errors_of_the_gpu(said: Exception, told: type[GemtabError], words: str) -> None:
    with pytest.raises(told, match=words) as error, gpu_errors("A step could not be run"):
        raise said
    assert len(str(error.value)) < 600
