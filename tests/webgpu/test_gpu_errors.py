"""Errors of wgpu become the matching errors of gemtab."""

import pytest
import wgpu

from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.errors import BundleError, ContextError, DeviceError, GemtabError


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (wgpu.GPUValidationError("Shader global is not available"), BundleError, "the GPU rejects it"),
        (wgpu.GPUValidationError("Parent device is lost"), DeviceError, "lost"),
        (wgpu.GPUOutOfMemoryError("no"), DeviceError, "no memory left"),
        (wgpu.GPUInternalError("x" * 5000), DeviceError, "failed"),
        (wgpu.GPUError("?"), DeviceError, "failed"),
        (RuntimeError("Buffer mapping failed"), DeviceError, "mapping failed"),
        (OverflowError("out of range"), BundleError, "is impossible"),
        (ZeroDivisionError("by zero"), BundleError, "is impossible"),
        (ContextError("Too long."), ContextError, "Too long."),
    ],
    ids=lambda value: str(value)[:20],
)
def test_errors_of_the_gpu(raised: Exception, expected: type[GemtabError], words: str) -> None:
    with pytest.raises(expected, match=words) as error, gpu_errors("A step could not be run"):
        raise raised
    assert len(str(error.value)) < 600
