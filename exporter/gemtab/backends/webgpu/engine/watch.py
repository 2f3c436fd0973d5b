"""Reports waits for the GPU to another process, which can stop a wait that never ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

BEGUN, ENDED = b"+", b"-"


class GpuWatch:
    """Writes a byte into a pipe at the beginning and at the end of each wait. pipe: None for no watch."""

    def __init__(self, pipe: int | None = None) -> None:
        self._pipe = pipe

    @property
    def active(self) -> bool:
        """Whether another process watches."""
        return self._pipe is not None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Report a wait for the GPU inside the block."""
        self._report(BEGUN)
        try:
            yield
        finally:
            self._report(ENDED)

    def _report(self, what: bytes) -> None:
        if self._pipe is not None:
            os.write(self._pipe, what)


UNWATCHED = GpuWatch()
