"""Runs a bundle's tower on this machine: pictures or sound -> rows of embeddings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import wgpu

from gemtab.backends.webgpu.device import Device, open_device
from gemtab.backends.webgpu.executor import PlanRunner
from gemtab.backends.webgpu.gpu_errors import gpu_errors
from gemtab.bundle.folder import open_plan, verified
from gemtab.bundle.manifest import Manifest, Tower
from gemtab.bundle.plan import ENCODE, ROWS, Plan, ScratchBuffer, evaluate
from gemtab.errors import ContextError, UsageError

_DISPATCHES_A_SUBMIT = 8
"""A tower's work on a slow GPU takes seconds, and Windows ends what runs for two: so it is handed over in parts."""


class TowerExecutor:
    """One of a bundle's towers, loaded.

    device: give the text executor's, so that rows need not leave the GPU. manifest: as an Executor's.
    """

    def __init__(
        self, folder: Path, tower: Tower, device: Device | None = None, manifest: Manifest | None = None
    ) -> None:
        manifest = manifest or verified(folder)
        entries = manifest.towers.image if tower == "image" else manifest.towers.audio
        if not entries:
            raise UsageError(f"{folder} has no tower for {tower}: export the checkpoint with `--inputs` that name it.")
        plan = open_plan(folder, manifest, entries[0].file)
        self._runner = TowerRunner(folder, plan, device=device or open_device(plan.limits))

    @property
    def runner(self) -> "TowerRunner":
        """The plan's buffers and program."""
        return self._runner

    @property
    def most_tokens(self) -> int:
        """Soft tokens that a picture or clip may have."""
        return self._runner.plan.context

    def encode(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The rows [T, hidden] f32 of one picture or clip; `inputs` are those of the tower's graph, by name, without
        padding. Raises UsageError where they do not fit the tower, ContextError where they are too many."""
        rows, tokens = self.encode_to_buffer(inputs)
        data = np.frombuffer(self._runner.device.gpu.queue.read_buffer(rows), np.float32)
        rows.destroy()
        return data.reshape(tokens, -1).copy()

    def encode_to_buffer(self, inputs: Mapping[str, np.ndarray]) -> tuple[Any, int]:
        """As `encode`, but the rows stay in a GPU buffer, the caller's to destroy: the buffer and T."""
        return self._runner.encode(inputs)


class TowerRunner(PlanRunner):
    """The buffers, pipelines and program of one tower. Scratch exists only while it encodes."""

    def _make_slots(self) -> list[Any]:
        return []

    @gpu_errors("A tower could not be run")
    def encode(self, inputs: Mapping[str, np.ndarray]) -> tuple[Any, int]:
        """The rows [T, hidden] f32 as a new buffer, and T."""
        program = self.plan.programs[ENCODE]
        missing = [name for name in program.inputs if name not in inputs]
        if missing:
            raise UsageError(f"This tower takes {', '.join(program.inputs)}; {', '.join(missing)} is missing.")
        tokens, input_rows = self._count(inputs)
        sizes = {"T": tokens, "P": 0, "C": self.plan.context}
        self._slots = [self._buffer(f"slot {i}", evaluate(size, sizes)) for i, size in enumerate(self.plan.slots)]
        try:
            for name, buffer in program.inputs.items():
                self.write(buffer, inputs[name])
            self.write("step", np.array([0, tokens, 0, input_rows], np.uint32))
            self._submit_parts(sizes)
            rows = self._buffer(ROWS, tokens * _bytes_a_token(self.plan, program.outputs[ROWS]))
            self._copy_output(rows)
            return rows, tokens
        finally:
            self._groups.clear()
            for slot in self._slots:
                slot.destroy()
            self._slots = []

    def _count(self, inputs: Mapping[str, np.ndarray]) -> tuple[int, int]:
        """Soft tokens and rows of the inputs, which are f32, or i32 for positions."""
        counts = set()
        for name, buffer in self.plan.programs[ENCODE].inputs.items():
            array, token_bytes = inputs[name], _bytes_a_token(self.plan, buffer)
            if array.dtype.itemsize != 4 or not array.size or token_bytes % (array.nbytes // len(array)):
                raise UsageError(f"{name} {array.dtype}{list(array.shape)} does not fit this tower.")
            if array.dtype.kind != "f" and array.nbytes % token_bytes:
                raise UsageError(f"{name}: {len(array)} patches do not fill whole cells.")
            counts.add((-(-array.nbytes // token_bytes), len(array)))
        if len(counts) > 1:
            raise UsageError(f"{', '.join(inputs)}: not of the same number of rows.")
        ((tokens, rows),) = counts
        if tokens > self.plan.context:
            raise ContextError(
                f"{tokens} soft tokens are more than the {self.plan.context} that this bundle encodes at once: choose "
                "less detail or a shorter clip."
            )
        return tokens, rows

    def _submit_parts(self, sizes: dict[str, int]) -> None:
        dispatches = self.plan.programs[ENCODE].dispatches
        for first in range(0, len(dispatches), _DISPATCHES_A_SUBMIT):
            encoder = self._device.gpu.create_command_encoder(label=ENCODE)
            compute = encoder.begin_compute_pass(label=ENCODE)
            for index, dispatch in enumerate(dispatches[first : first + _DISPATCHES_A_SUBMIT], first):
                grid = [evaluate(expr, sizes) for expr in dispatch.grid]
                if 0 in grid:
                    continue
                compute.set_pipeline(self._pipelines[dispatch.kernel])
                compute.set_bind_group(0, self._group(ENCODE, index, dispatch))
                compute.dispatch_workgroups(*grid)
            compute.end()
            self._device.gpu.queue.submit([encoder.finish()])
            self.settle()

    def _copy_output(self, rows: "wgpu.GPUBuffer") -> None:
        output = self._resolve(self.plan.programs[ENCODE].outputs[ROWS])
        encoder = self._device.gpu.create_command_encoder(label=ROWS)
        encoder.copy_buffer_to_buffer(output, 0, rows, 0, rows.size)
        self._device.gpu.queue.submit([encoder.finish()])


def _bytes_a_token(plan: Plan, name: str) -> int:
    buffer = plan.buffers[name]
    assert isinstance(buffer, ScratchBuffer)
    return evaluate(buffer.bytes, {"T": 1})
