"""Runs steps of a text model: a plan's program on some tokens at the position of the caches."""

from collections.abc import Sequence

import numpy as np

from gemtab.backends.webgpu.engine.caches import Caches
from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.backends.webgpu.engine.host_embeddings import HostEmbeddings
from gemtab.backends.webgpu.engine.runner import PlanRunner
from gemtab.bundle.plan import Plan
from gemtab.errors import ContextError


class TextRunner:
    """Writes the inputs of a step, submits the step on `runner`, and advances the caches.

    embeddings: those on the host; None if all are on the GPU.
    """

    def __init__(self, runner: PlanRunner, embeddings: HostEmbeddings | None = None) -> None:
        self.runner = runner
        self._embeddings = embeddings

    @property
    def plan(self) -> Plan:
        """The plan whose programs are run."""
        return self.runner.plan

    @property
    def caches(self) -> Caches:
        """The caches that steps read and write."""
        return self.runner.caches

    @gpu_errors("A step could not be run")
    def run(self, program: str, ids: Sequence[int] | None, tokens: int) -> None:
        """Run a program on `tokens` tokens. ids: of the tokens; None if the id was sampled on the GPU.

        Raises ContextError if the tokens do not fit the context, and for an id outside the vocabulary.
        """
        position = self.caches.position
        self.caches.check_remaining(tokens)
        self.runner.buffers.write("step", np.array([position, tokens], np.uint32))
        if ids is not None:
            self._check_ids(ids)
            self.runner.buffers.write("ids", np.array(ids, np.uint32))
        if self._embeddings:
            self._write_rows(self._embeddings, self._sampled(tokens) if ids is None else ids)
        self.runner.submit(program, {"T": tokens, "P": position, "C": self.caches.context})
        self.caches.advance(tokens)

    def _sampled(self, tokens: int) -> list[int]:
        return [int(id_) for id_ in self.runner.read("ids", np.uint32, tokens)]

    def _write_rows(self, embeddings: HostEmbeddings, ids: Sequence[int]) -> None:
        slots, writes = embeddings.place(ids)
        for name, offset, rows in writes:
            self.runner.buffers.write(name, rows, offset)
        self.runner.buffers.write("slots", slots)

    def _check_ids(self, ids: Sequence[int]) -> None:
        for token in ids:
            if not 0 <= token < self.plan.vocabulary:
                raise ContextError(f"Token id {token} is outside the vocabulary of {self.plan.vocabulary}.")
