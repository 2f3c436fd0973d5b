"""A tower of a bundle: turns an image or a stretch of audio into rows of embeddings."""

from collections.abc import Mapping

import numpy as np
import wgpu

from gemtab.backends.webgpu.engine.device import Copy
from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.backends.webgpu.engine.runner import PlanRunner
from gemtab.bundle.plan import ENCODE, ROWS, Program, ScratchBuffer, evaluate
from gemtab.errors import ContextError, UsageError

_DISPATCHES_A_SUBMIT = 8
"""Windows stops GPU work that takes two seconds. A tower takes seconds on a slow GPU, so it is submitted in parts."""


class Tower:
    """Encodes with a tower's plan on `runner`. Slots exist only while the tower encodes."""

    def __init__(self, runner: PlanRunner) -> None:
        self.runner = runner

    @property
    def max_tokens(self) -> int:
        """Most soft tokens of an image or a stretch of audio."""
        return self.runner.plan.context

    def encode(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the rows [T, hidden] f32 of one image or stretch of audio.

        inputs: of the tower's graph, by name, without padding; f32, positions i32. Raises UsageError if they do not fit
        the tower, and ContextError if they have more soft tokens than `max_tokens`.
        """
        rows, tokens = self.encode_to_buffer(inputs)
        size = tokens * self._bytes_a_token(self._program.outputs[ROWS])
        data = np.frombuffer(self.runner.device.read(rows, size), np.float32)
        rows.destroy()
        return data.reshape(tokens, -1).copy()

    @gpu_errors("A tower could not be run")
    def encode_to_buffer(self, inputs: Mapping[str, np.ndarray]) -> tuple[wgpu.GPUBuffer, int]:
        """Encode as `encode`. Return a GPU buffer with the rows, which the caller must destroy, and T."""
        missing = [name for name in self._program.inputs if name not in inputs]
        if missing:
            raise UsageError(f"This tower takes {', '.join(self._program.inputs)}; {', '.join(missing)} is missing.")
        tokens, input_rows = self._count(inputs)
        sizes = {"T": tokens, "P": 0, "C": self.runner.plan.context}
        with self.runner.scratch(sizes):
            for name, buffer in self._program.inputs.items():
                self.runner.write(buffer, inputs[name])
            self.runner.write("step", np.array([0, tokens, 0, input_rows], np.uint32))
            self._submit_parts(sizes)
            return self._copied_rows(tokens), tokens

    @property
    def _program(self) -> Program:
        return self.runner.plan.programs[ENCODE]

    def _count(self, inputs: Mapping[str, np.ndarray]) -> tuple[int, int]:
        """Return the soft tokens and the rows of the inputs."""
        counts = set()
        for name, buffer in self._program.inputs.items():
            array, token_bytes = inputs[name], self._bytes_a_token(buffer)
            if array.dtype.itemsize != 4 or not array.size or token_bytes % (array.nbytes // len(array)):
                raise UsageError(f"{name} {array.dtype}{list(array.shape)} does not fit this tower.")
            if array.dtype.kind != "f" and array.nbytes % token_bytes:
                raise UsageError(f"{name}: {len(array)} patches do not fill whole cells.")
            counts.add((-(-array.nbytes // token_bytes), len(array)))
        if len(counts) > 1:
            raise UsageError(f"{', '.join(inputs)}: their numbers of rows differ.")
        ((tokens, rows),) = counts
        if tokens > self.max_tokens:
            raise ContextError(
                f"{tokens} soft tokens are more than the {self.max_tokens} that this bundle encodes at once: choose "
                "less detail or a shorter recording."
            )
        return tokens, rows

    def _submit_parts(self, sizes: Mapping[str, int]) -> None:
        for first in range(0, len(self._program.dispatches), _DISPATCHES_A_SUBMIT):
            self.runner.submit(ENCODE, sizes, first, first + _DISPATCHES_A_SUBMIT)
            self.runner.settle()

    def _copied_rows(self, tokens: int) -> wgpu.GPUBuffer:
        output = self._program.outputs[ROWS]
        rows = self.runner.device.storage(ROWS, tokens * self._bytes_a_token(output))
        self.runner.device.copy(ROWS, [Copy(self.runner.buffers.buffer(output), 0, rows, 0, rows.size)])
        return rows

    def _bytes_a_token(self, name: str) -> int:
        buffer = self.runner.plan.buffers[name]
        assert isinstance(buffer, ScratchBuffer)
        return evaluate(buffer.bytes, {"T": 1})
