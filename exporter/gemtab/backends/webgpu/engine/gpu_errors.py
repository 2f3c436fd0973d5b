"""What the GPU's driver and wgpu say, as the errors that users meet."""

from collections.abc import Iterator
from contextlib import contextmanager

import wgpu

from gemtab.errors import BundleError, DeviceError

_MOST_WORDS = 300
"""Characters of wgpu's own text that are shown."""

_IMPOSSIBLE = (OverflowError, ZeroDivisionError)
"""What expressions of a contrived plan come to at positions at which they were not checked."""


@contextmanager
def gpu_errors(what: str) -> Iterator[None]:
    """Turns errors of the GPU inside into DeviceError, and into BundleError where it refuses the bundle. `what` begins
    the sentence."""
    try:
        yield
    except wgpu.GPUOutOfMemoryError as error:
        raise DeviceError(
            f"{what}: the GPU has no memory left. Choose a smaller context or smaller weights; `gemtab inspect --fit` "
            "tells what fits."
        ) from error
    except (wgpu.GPUValidationError, wgpu.GPUPipelineError) as error:
        if "is lost" in str(error):
            raise _lost(what, error) from error
        raise BundleError(f"{what}: the GPU refuses it: {_words(error)}. Export the checkpoint again.") from error
    except (wgpu.GPUError, RuntimeError) as error:
        raise _lost(what, error) from error
    except _IMPOSSIBLE as error:
        raise BundleError(f"{what}: a size in the plan cannot be ({error}). Export the checkpoint again.") from error


def _lost(what: str, error: Exception) -> DeviceError:
    return DeviceError(f"{what}: the GPU failed or was lost ({_words(error)}). Try again; restart where that persists.")


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:_MOST_WORDS] + ("…" if len(text) > _MOST_WORDS else "")
