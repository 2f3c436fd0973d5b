"""Telling another process when the GPU is waited for, so that it can end a wait that has no end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

BEGUN, ENDED = b"+", b"-"


class GpuWatch:
    """Writes a byte into a pipe when a wait begins and when it ends; `pipe` None: nobody watches."""

    def __init__(self, pipe: int | None = None) -> None:
        self._pipe = pipe

    @property
    def active(self) -> bool:
        """Whether anybody watches."""
        return self._pipe is not None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What is done inside may wait for the GPU."""
        self._tell(BEGUN)
        try:
            yield
        finally:
            self._tell(ENDED)

    def _tell(self, what: bytes) -> None:
        if self._pipe is not None:
            os.write(self._pipe, what)


UNWATCHED = GpuWatch()
