"""Runs a bundle's plan on this machine: the same plan that the tab runs, through wgpu-native."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import wgpu

from gemtab.backends.media import Media
from gemtab.backends.webgpu.device import Device, open_device
from gemtab.backends.webgpu.gpu_errors import gpu_errors
from gemtab.backends.webgpu.host_table import HostTables, choose_tables
from gemtab.backends.webgpu.watch import UNWATCHED, GpuWatch
from gemtab.bundle.folder import open_plan, verified
from gemtab.bundle.manifest import MANIFEST_NAME, Manifest
from gemtab.bundle.memory import MemoryNeed, allocated, params_offsets
from gemtab.bundle.plan import (
    Buffer,
    ControlBuffer,
    Dispatch,
    Form,
    HostTableChoice,
    Kernel,
    Limits,
    Plan,
    Ring,
    RowsBuffer,
    ScratchBuffer,
    StateBuffer,
    Tables,
    WeightBuffer,
    bound_for,
    evaluate,
)
from gemtab.bundle.reading import read_text
from gemtab.errors import BundleError, ContextError, DeviceError, UsageError

_STORAGE = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST
_BINDING_TYPES = {"read": "read-only-storage", "read_write": "storage", "uniform": "uniform"}


@dataclass(frozen=True)
class Snapshot:
    """Copies of the ring caches as they were at `position`. written: see PlanRunner."""

    position: int
    written: int
    rings: Mapping[str, Any]


class PlanRunner:
    """The buffers, pipelines and programs of one plan on one device.

    context: tokens that the caches may hold, at most the plan's. tables: where look-up tables lie; on the host they
    stay in the bundle's files. written: one more than the largest position that the rings have taken since they were
    last empty; a rewind does not lower it, since what was overwritten stays so.
    """

    @gpu_errors("The plan could not be loaded")
    def __init__(
        self,
        folder: Path,
        plan: Plan,
        context: int | None = None,
        device: Device | None = None,
        tables: Tables = "gpu",
    ) -> None:
        self.plan = plan
        self.tables = tables
        self.context = min(context or plan.context, plan.context)
        self.position = 0
        self.written = 0
        self._folder = folder
        self._device = device or open_device(plan.limits)
        missing = set(plan.features) - self._device.features
        if missing:
            raise DeviceError(
                f"The adapter {self._device.name} lacks {', '.join(sorted(missing))}, which the {plan.activation} plan "
                "needs. Use the bundle's f32 plan."
            )
        self._slots = self._make_slots()
        self._buffers: dict[str, Any] = {}
        on_host: dict[str, tuple[RowsBuffer, np.ndarray]] = {}
        bound = bound_for(plan, tables)
        for name, buffer in plan.buffers.items():
            if isinstance(buffer, ControlBuffer):
                self._buffers[name] = self._buffer(name, buffer.bytes)
            elif name in bound and isinstance(buffer, WeightBuffer):
                self._buffers[name] = self._upload(name, buffer)
            elif name in bound and isinstance(buffer, RowsBuffer):
                self._buffers[name] = self._buffer(name, buffer.bytes)
                on_host[name] = buffer, self._file_bytes(name, buffer, buffer.rows * buffer.row_bytes)
        self._host_tables = HostTables(on_host) if on_host else None
        self._layouts = {name: self._layout(name, kernel) for name, kernel in plan.kernels.items()}
        self._pipelines = {name: self._pipeline(name, kernel) for name, kernel in plan.kernels.items()}
        self._uniforms: dict[str, Any] = {}
        self._groups: dict[tuple[str, int], Any] = {}

    @property
    def device(self) -> Device:
        """The device on which the plan runs."""
        return self._device

    @property
    def memory(self) -> MemoryNeed:
        """What is allocated now: caches from when they are first used, scratch of towers while they encode."""
        kinds: dict[str, int] = {"weight": 0, "rows": 0, "state": 0, "control": 0}
        for name, buffer in self._buffers.items():
            kinds[self.plan.buffers[name].kind] += buffer.size
        scratch = sum(buffer.size for buffer in (*self._slots, *self._uniforms.values()))
        return MemoryNeed(kinds["weight"] + kinds["rows"], kinds["state"], kinds["control"] + scratch)

    # --- making -----------------------------------------------------------------------------------------

    def _make_slots(self) -> list[Any]:
        return [self._buffer(f"slot {i}", evaluate(size, {})) for i, size in enumerate(self.plan.slots)]

    def _buffer(self, label: str, size: int) -> Any:
        return self._device.gpu.create_buffer(label=label, size=allocated(size), usage=_STORAGE)

    def _upload(self, name: str, weight: WeightBuffer) -> Any:
        buffer = self._buffer(name, weight.bytes)
        self._device.gpu.queue.write_buffer(buffer, 0, self._file_bytes(name, weight, weight.bytes))
        return buffer

    def _file_bytes(self, name: str, at: WeightBuffer | RowsBuffer, size: int) -> np.ndarray:
        path = self._folder / at.file
        try:
            return np.memmap(path, np.uint8, "r", at.offset, size)
        except (OSError, ValueError) as error:
            raise BundleError(
                f"{path} should hold bytes {at.offset:,} to {at.offset + size:,} for {name}, but could not be read "
                f"that far ({error}). Export the bundle again."
            ) from error

    def _layout(self, name: str, kernel: Kernel) -> Any:
        entries = [
            {"binding": i, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": _BINDING_TYPES[access]}}
            for i, access in enumerate(kernel.bindings)
        ]
        return self._device.gpu.create_bind_group_layout(label=name, entries=entries)

    def form(self, kernel: Kernel) -> Form:
        """The first of the kernel's forms that the device can run."""
        for form in kernel.forms:
            if set(form.features) <= self._device.features:
                return form
        raise DeviceError(f"The adapter {self._device.name} can run no form of {kernel.forms[-1].file}.")

    def _pipeline(self, name: str, kernel: Kernel) -> Any:
        form = self.form(kernel)
        code = read_text(self._folder, form.file)
        with gpu_errors(f"{self._folder / form.file}, of kernel {name}"), self._device.watch.waiting():
            return self._compiled(name, form, code)

    def _compiled(self, name: str, form: Form, code: str) -> Any:
        module = self._device.module(code, form.features, name)
        layout = self._device.gpu.create_pipeline_layout(bind_group_layouts=[self._layouts[name]])
        return self._device.gpu.create_compute_pipeline(
            label=name,
            layout=layout,
            compute={"module": module, "entry_point": form.entry_point, "constants": form.constants},
        )

    def _params(self, name: str) -> Any:
        """The params of all dispatches of a program in one buffer, made when the program first runs."""
        if name not in self._uniforms:
            program = self.plan.programs[name]
            offsets = params_offsets(program)
            words = np.zeros(offsets[-1] // 4, np.uint32)
            for start, dispatch in zip(offsets, program.dispatches, strict=False):
                params = dispatch.params or ()
                words[start // 4 : start // 4 + len(params)] = params
            self._uniforms[name] = self._device.gpu.create_buffer_with_data(
                label=f"{name} params", data=words, usage=wgpu.BufferUsage.UNIFORM
            )
        return self._uniforms[name]

    def _resolve(self, name: str) -> Any:
        """The GPU buffer behind a name; caches are made when first asked for."""
        buffer: Buffer = self.plan.buffers[name]
        if isinstance(buffer, ScratchBuffer):
            return self._slots[buffer.slot]
        if isinstance(buffer, StateBuffer) and name not in self._buffers:
            size = evaluate(buffer.bytes, {"T": 1, "P": self.context, "C": self.context})
            self._buffers[name] = self._buffer(name, size)
        return self._buffers[name]

    def _group(self, program: str, index: int, dispatch: Dispatch) -> Any:
        key = (program, index)
        if key not in self._groups:
            entries = [
                {"binding": i, "resource": {"buffer": self._resolve(name)}} for i, name in enumerate(dispatch.bindings)
            ]
            if dispatch.params is not None:
                start, end = params_offsets(self.plan.programs[program])[index : index + 2]
                resource = {"buffer": self._params(program), "offset": start, "size": end - start}
                entries.append({"binding": len(entries), "resource": resource})
            self._groups[key] = self._device.gpu.create_bind_group(
                label=dispatch.label, layout=self._layouts[dispatch.kernel], entries=entries
            )
        return self._groups[key]

    # --- running ----------------------------------------------------------------------------------------

    @gpu_errors("A step could not be run")
    def run(self, program: str, ids: Sequence[int] | None, tokens: int) -> None:
        """Run a program on `tokens` tokens; `ids` are theirs, None where ids[0] was sampled on the GPU."""
        if self.position + tokens > self.context:
            raise ContextError(
                f"{self.position + tokens} tokens do not fit the context of {self.context}: shorten the prompt or "
                "start a new conversation."
            )
        step = np.array([self.position, tokens], np.uint32)
        self._device.gpu.queue.write_buffer(self._buffers["step"], 0, step)
        if ids is not None:
            self._check_ids(ids)
            self._device.gpu.queue.write_buffer(self._buffers["ids"], 0, np.array(ids, np.uint32))
        if self._host_tables:
            self._write_rows(self._host_tables, self.read("ids", np.uint32, tokens).tolist() if ids is None else ids)
        with self._device.watch.waiting():
            self._encode(program, tokens)
        self.position += tokens
        self.written = max(self.written, self.position)

    def _write_rows(self, tables: HostTables, ids: Sequence[int]) -> None:
        places, writes = tables.place(ids)
        for name, offset, rows in writes:
            self._device.gpu.queue.write_buffer(self._buffers[name], offset, rows)
        self._device.gpu.queue.write_buffer(self._buffers["places"], 0, places)

    def _check_ids(self, ids: Sequence[int]) -> None:
        for token in ids:
            if not 0 <= token < self.plan.vocabulary:
                raise ContextError(f"Token id {token} is outside the vocabulary of {self.plan.vocabulary}.")

    def _encode(self, program: str, tokens: int) -> None:
        sizes = {"T": tokens, "P": self.position, "C": self.context}
        encoder = self._device.gpu.create_command_encoder(label=program)
        compute = encoder.begin_compute_pass(label=program)
        for index, dispatch in enumerate(self.plan.programs[program].dispatches):
            grid = [evaluate(expr, sizes) for expr in dispatch.grid]
            if 0 in grid or dispatch.tables not in (None, self.tables):
                continue
            compute.set_pipeline(self._pipelines[dispatch.kernel])
            compute.set_bind_group(0, self._group(program, index, dispatch))
            compute.dispatch_workgroups(*grid)
        compute.end()
        self._device.gpu.queue.submit([encoder.finish()])

    @gpu_errors("Media could not be put into the prompt")
    def put_media(self, tokens: int, media: Sequence[Media]) -> None:
        """Make ready the media of the step to come, of so many tokens from the present position on."""
        first, last = self.position, self.position + tokens
        buffer, visible = self._buffers["media"], np.arange(first, last, dtype=np.uint32)
        entry = self.plan.buffers["media"]
        assert isinstance(entry, ControlBuffer)
        row_bytes = entry.bytes // self.plan.programs["fill"].max_tokens
        encoder = self._device.gpu.create_command_encoder(label="media")
        for one in media:
            begin, end = max(first, one.position), min(last, one.end)
            if begin < end:
                source, target = (begin - one.position) * row_bytes, (begin - first) * row_bytes
                encoder.copy_buffer_to_buffer(one.rows, source, buffer, target, (end - begin) * row_bytes)
                if one.picture:
                    visible[begin - first : end - first] = one.end - 1
        self._device.gpu.queue.submit([encoder.finish()])
        if "visible" in self._buffers:
            self._device.gpu.queue.write_buffer(self._buffers["visible"], 0, visible)

    @gpu_errors("A value could not be written")
    def write(self, name: str, data: np.ndarray) -> None:
        """Write a value of a program before it runs."""
        self._device.gpu.queue.write_buffer(self._resolve(name), 0, np.ascontiguousarray(data))

    def settle(self) -> None:
        """Wait, where somebody watches, so that each wait is for one piece of work."""
        if self._device.watch.active:
            self.read("step", np.uint32, 1)

    @gpu_errors("A value could not be read back")
    def read(self, name: str, dtype: type[np.generic], count: int) -> np.ndarray:
        """The first `count` elements of a buffer, as they are after all that was submitted."""
        size = count * np.dtype(dtype).itemsize
        with self._device.watch.waiting():
            data = self._device.gpu.queue.read_buffer(self._resolve(name), 0, -(-size // 4) * 4)
        return np.frombuffer(data, dtype)[:count].copy()

    def read_caches(self, dtype: type[np.generic]) -> Iterator[tuple[str, np.ndarray]]:
        """Every cache that a step has reached, or piece of one, whole: by the buffer's name."""
        for name, buffer in self.plan.buffers.items():
            if isinstance(buffer, StateBuffer) and name in self._buffers:
                yield name, self.read(name, dtype, self._buffers[name].size // np.dtype(dtype).itemsize)

    # --- rewinding --------------------------------------------------------------------------------------

    @gpu_errors("A snapshot could not be taken")
    def snapshot(self) -> Snapshot:
        """Copies of the ring caches, to which `restore` goes back."""
        rings = {name: self._buffers[name] for name in self._rings() if name in self._buffers}
        return Snapshot(self.position, self.written, {name: self._copy(name, buffer) for name, buffer in rings.items()})

    @gpu_errors("A snapshot could not be restored")
    def restore(self, snapshot: Snapshot) -> None:
        """Be again where `snapshot` was taken. What the growing caches hold beyond it is not looked at."""
        encoder = self._device.gpu.create_command_encoder(label="restore")
        for name, copy in snapshot.rings.items():
            encoder.copy_buffer_to_buffer(copy, 0, self._buffers[name], 0, copy.size)
        self._device.gpu.queue.submit([encoder.finish()])
        self.position, self.written = snapshot.position, snapshot.written

    def rewind(self, position: int) -> bool:
        """Go back to `position` if the rings still hold what its tokens look back on; whether they did."""
        if not 0 <= position <= self.position:
            return False
        if position == 0:
            self.reset()
            return True
        if any(max(0, position - ring.window) < self.written - ring.rows for ring in self._rings().values()):
            return False
        self.position = position
        return True

    def reset(self) -> None:
        """Start over with empty caches."""
        self.position = self.written = 0

    def _rings(self) -> dict[str, Ring]:
        return {
            name: buffer.ring
            for name, buffer in self.plan.buffers.items()
            if isinstance(buffer, StateBuffer) and buffer.ring is not None
        }

    def _copy(self, name: str, buffer: Any) -> Any:
        copy = self._buffer(f"snapshot of {name}", buffer.size)
        encoder = self._device.gpu.create_command_encoder(label="snapshot")
        encoder.copy_buffer_to_buffer(buffer, 0, copy, 0, buffer.size)
        self._device.gpu.queue.submit([encoder.finish()])
        return copy


class Executor:
    """A text model from a bundle.

    activation: `f32` or `f16`; by default the first plan that the device can run.
    host_table: whether look-up tables stay in the files, of which a step then reads a row a token: with `auto` they do
    where the rest fits into `memory` bytes of the GPU's and they do not. Raises DeviceError where neither fits.
    watch: told of what is waited for, where no device is given. manifest: the bundle's, where its files were found to
    be as that says.
    Raises BundleError where files are not as the manifest says, and where the plan's parts do not fit each other.
    """

    def __init__(
        self,
        folder: Path,
        activation: str | None = None,
        context: int | None = None,
        device: Device | None = None,
        host_table: HostTableChoice = "auto",
        memory: int | None = None,
        watch: GpuWatch = UNWATCHED,
        manifest: Manifest | None = None,
    ) -> None:
        self._manifest = manifest or verified(folder)
        wanted = device or partial(open_device, watch=watch)
        plan, device = _choose_plan(folder, self._manifest, activation, wanted)
        tables = choose_tables(plan, min(context or plan.context, plan.context), host_table, memory)
        self._runner = PlanRunner(folder, plan, context, device, tables)
        self._sampled = 0
        self.set_sampling()

    @property
    def runner(self) -> PlanRunner:
        """The plan's buffers and programs."""
        return self._runner

    @property
    def manifest(self) -> Manifest:
        """The bundle's, whose files are as that says."""
        return self._manifest

    @property
    def position(self) -> int:
        """Tokens in the caches."""
        return self._runner.position

    @property
    def context(self) -> int:
        """Tokens that the caches may hold."""
        return self._runner.context

    def set_sampling(self, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0) -> None:
        """How the next ids are chosen: see ControlBuffer. Temperature 0 is greedy."""
        words = np.array([0, top_k, 0, seed & 0xFFFFFFFF], np.uint32)
        words[[0, 2]] = np.array([temperature, top_p], np.float32).view(np.uint32)
        self._runner.write("sampling", words)

    def fill(
        self, ids: Sequence[int], media: Sequence[Media] = (), after_chunk: Callable[[int], None] | None = None
    ) -> None:
        """Put tokens into the caches, in chunks; media: what stands in the places of placeholders among them.
        after_chunk: told of so many tokens each time that the GPU is done with some; without it nobody waits for it."""
        begin = self.position
        if begin + len(ids) > self.context:
            raise ContextError(
                f"The prompt ends at token {begin + len(ids)}, beyond the context of {self.context}: shorten "
                "it or start a new conversation."
            )
        plan = self._runner.plan
        if media and "media" not in plan.buffers:
            raise UsageError("This bundle takes text only: export the checkpoint with its towers.")
        whole = [one for one in media if one.picture] if "visible" in plan.buffers else []
        for start, stop in chunks(begin, begin + len(ids), plan.programs["fill"].max_tokens, whole):
            if "media" in plan.buffers:
                self._runner.put_media(stop - start, media)
            self._runner.run("fill", ids[start - begin : stop - begin], stop - start)
            self._runner.settle()
            if after_chunk:
                self._runner.read("ids", np.uint32, 1)  # waits for the chunk
                after_chunk(stop - start)

    def decode(self, token: int | None = None) -> int:
        """Process one token (the one just sampled if None), sample the next and return its id."""
        self._runner.run("decode", None if token is None else [token], 1)
        sampled = int(self._runner.read("ids", np.uint32, 1)[0])
        if sampled >= self._runner.plan.vocabulary:
            raise BundleError(
                f"The {self._runner.plan.activation} plan sampled token {sampled} of a vocabulary of "
                f"{self._runner.plan.vocabulary}: its kernels do not fit the model. Export the checkpoint again."
            )
        return sampled

    def verify(self, ids: Sequence[int]) -> np.ndarray:
        """Process up to `verify`'s number of tokens: the logits of each, [T, vocabulary] f32."""
        self._runner.run("verify", ids, len(ids))
        return self.read_logits("verify", len(ids))

    def read_logits(self, program: str = "decode", tokens: int = 1) -> np.ndarray:
        """The last step's logits, [T, vocabulary] f32."""
        name = self._runner.plan.programs[program].outputs["logits"]
        vocabulary = self._runner.plan.vocabulary
        return self._runner.read(name, np.float32, tokens * vocabulary).reshape(tokens, vocabulary)

    def snapshot(self) -> Snapshot:
        """See PlanRunner.snapshot."""
        return self._runner.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """See PlanRunner.restore."""
        self._runner.restore(snapshot)

    def rewind(self, position: int) -> bool:
        """See PlanRunner.rewind."""
        return self._runner.rewind(position)

    def reset(self) -> None:
        """Start over with empty caches."""
        self._runner.reset()


def chunks(start: int, stop: int, most: int, whole: Sequence[Media]) -> Iterator[tuple[int, int]]:
    """Positions start … stop - 1 in chunks of at most `most`, none of which divides one of `whole`."""
    while start < stop:
        end = min(start + most, stop)
        cut = [one for one in whole if one.position < end < one.end]
        if cut:
            end = cut[0].position
        if end <= start:
            raise ContextError(
                f"A picture takes {cut[0].tokens} tokens, which must be processed at once; this bundle processes "
                f"{most} at most. Choose less detail."
            )
        yield start, end
        start = end


def _choose_plan(
    folder: Path, manifest: Manifest, activation: str | None, device: Device | Callable[[Limits], Device]
) -> tuple[Plan, Device]:
    if activation not in (None, "f16", "f32"):
        raise UsageError(f"The plan {activation} is not known: choose f16 or f32.")
    entries = [entry for entry in manifest.plans if activation in (None, entry.activation)]
    if not entries:
        raise BundleError(f"{folder} has no {activation} plan: {MANIFEST_NAME} names none. Choose another one.")
    plans = [open_plan(folder, manifest, entry.file) for entry in entries]
    device = device if isinstance(device, Device) else device(_largest(plans))
    for plan in plans:
        if set(plan.features) <= device.features:
            return plan, device
    return plans[-1], device


def _largest(plans: Sequence[Plan]) -> Limits:
    dumps = [plan.limits.model_dump() for plan in plans]
    return Limits(**{name: max(dump[name] for dump in dumps) for name in dumps[0]})
