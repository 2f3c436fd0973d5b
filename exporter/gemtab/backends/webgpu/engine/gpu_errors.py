"""Turns errors of the GPU's driver and of wgpu into gemtab's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import wgpu

from gemtab.errors import BundleError, DeviceError

_MAX_CHARACTERS = 300
"""Characters of wgpu's message that are shown."""

_IMPOSSIBLE = (OverflowError, ZeroDivisionError)
"""Errors of a malformed plan's expressions at positions where they were not checked."""


@contextmanager
def gpu_errors(what: str) -> Iterator[None]:
    """Turn errors of the GPU inside into DeviceError, or into BundleError if the GPU rejects the bundle.

    what: begins the message, e.g. "A step could not be run".
    """
    try:
        yield
    except wgpu.GPUOutOfMemoryError as error:
        raise DeviceError(
            f"{what}: the GPU has no memory left. Choose a smaller context or smaller weights; `gemtab inspect --fit` "
            "reports what fits."
        ) from error
    except (wgpu.GPUValidationError, wgpu.GPUPipelineError) as error:
        if "is lost" in str(error):
            raise _lost(what, error) from error
        raise BundleError(f"{what}: the GPU rejects it: {_words(error)}. Export the checkpoint again.") from error
    except (wgpu.GPUError, RuntimeError) as error:
        raise _lost(what, error) from error
    except _IMPOSSIBLE as error:
        raise BundleError(
            f"{what}: a size in the plan is impossible ({error}). Export the checkpoint again."
        ) from error


def _lost(what: str, error: Exception) -> DeviceError:
    return DeviceError(f"{what}: the GPU failed or was lost ({_words(error)}). Try again; restart if that persists.")


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:_MAX_CHARACTERS] + ("…" if len(text) > _MAX_CHARACTERS else "")
