"""Loads plans onto the GPU: chooses the plan and the residence of embeddings, and uploads weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gemtab.backends.webgpu.engine.buffers import PlanBuffers
from gemtab.backends.webgpu.engine.caches import Caches
from gemtab.backends.webgpu.engine.device import Device, open_device
from gemtab.backends.webgpu.engine.gpu_errors import gpu_errors
from gemtab.backends.webgpu.engine.host_embeddings import HostEmbeddings
from gemtab.backends.webgpu.engine.pipelines import Pipelines
from gemtab.backends.webgpu.engine.runner import PlanRunner
from gemtab.backends.webgpu.engine.text_runner import TextRunner
from gemtab.backends.webgpu.engine.tower import Tower
from gemtab.backends.webgpu.engine.watch import UNWATCHED, GpuWatch
from gemtab.bundle.folder import open_plan, verified
from gemtab.bundle.manifest import MANIFEST_NAME, Manifest
from gemtab.bundle.manifest import Tower as TowerName
from gemtab.bundle.memory import need_of, plan_memory
from gemtab.bundle.plan import HostEmbeddingsChoice, Limits, Plan, Residence, RowsBuffer, WeightBuffer
from gemtab.errors import BundleError, DeviceError, UsageError


@dataclass(frozen=True)
class TextChoice:
    """How a text model is loaded.

    activation: `f32` or `f16`; None for the first plan that the device can run. context: most tokens of the caches, at
    most the plan's. host_embeddings: whether per-layer embeddings stay on the host; a step then reads one row per token
    from the file. memory: most bytes of GPU memory for the model; None for no bound.
    """

    activation: str | None = None
    context: int | None = None
    host_embeddings: HostEmbeddingsChoice = "auto"
    memory: int | None = None


def load_text(
    folder: Path, manifest: Manifest, choice: TextChoice, device: Device | None = None, watch: GpuWatch = UNWATCHED
) -> TextRunner:
    """Load the text model of the bundle in `folder`. watch: records each wait for the GPU, if no device is given.

    Raises BundleError if parts of the plan do not fit each other, DeviceError if the GPU lacks memory or a feature for
    the plan, and UsageError for an unknown plan.
    """
    plans = _plans(folder, manifest, choice.activation)
    device = device or open_device(_largest(plans), watch)
    plan = choose_plan(plans, device)
    caches = Caches(device, plan, choice.context)
    embeddings = choose_residence(plan, caches.context, choice.host_embeddings, choice.memory)
    return load_text_plan(folder, plan, device, caches, embeddings)


def load_tower(folder: Path, name: TowerName, device: Device | None = None, manifest: Manifest | None = None) -> Tower:
    """Load a tower of the bundle in `folder`.

    device: that of the text model keeps rows on the GPU; None opens one. manifest: of the bundle, if its files have
    been verified. Raises UsageError if the bundle has no such tower, and what load_text raises.
    """
    manifest = manifest or verified(folder)
    entries = manifest.towers.image if name == "image" else manifest.towers.audio
    if not entries:
        raise UsageError(f"{folder} has no tower for {name}: export the checkpoint with `--inputs` that name it.")
    plan = open_plan(folder, manifest, entries[0].file)
    return load_tower_plan(folder, plan, device or open_device(plan.limits))


@gpu_errors("The plan could not be loaded")
def load_text_plan(
    folder: Path, plan: Plan, device: Device, caches: Caches | None = None, embeddings: Residence = "gpu"
) -> TextRunner:
    """Load a text plan onto a device.

    caches: new ones if None; for a draft model, those of the target. Raises BundleError if the plan needs other caches.
    """
    runner = _runner(folder, plan, device, caches, embeddings)
    runner.buffers.allocate_slots({})
    on_host = {
        name: (entry, _read(folder, name, entry, entry.rows * entry.row_bytes))
        for name, entry in runner.buffers.weights
        if isinstance(entry, RowsBuffer)
    }
    return TextRunner(runner, HostEmbeddings(on_host) if on_host else None)


@gpu_errors("The plan could not be loaded")
def load_tower_plan(folder: Path, plan: Plan, device: Device) -> Tower:
    """Load a tower's plan onto a device."""
    return Tower(_runner(folder, plan, device))


def _runner(
    folder: Path, plan: Plan, device: Device, caches: Caches | None = None, embeddings: Residence = "gpu"
) -> PlanRunner:
    missing = set(plan.features) - device.features
    if missing:
        raise DeviceError(
            f"The adapter {device.name} lacks {', '.join(sorted(missing))}, which the {plan.activation} plan needs. "
            "Use the bundle's f32 plan."
        )
    caches = caches or Caches(device, plan)
    caches.check(plan)
    buffers = PlanBuffers(device, plan, embeddings, caches)
    for name, entry in buffers.weights:
        if isinstance(entry, WeightBuffer):
            buffers.write(name, _read(folder, name, entry, entry.bytes))
    return PlanRunner(device, plan, embeddings, caches, buffers, Pipelines(device, folder, plan))


def _read(folder: Path, name: str, entry: WeightBuffer | RowsBuffer, size: int) -> np.ndarray:
    """Map `size` bytes of a bundle's file, which are read on use."""
    path = folder / entry.file
    try:
        return np.memmap(path, np.uint8, "r", entry.offset, size)
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path} should hold bytes {entry.offset:,} to {entry.offset + size:,} for {name}, but could not be read "
            f"that far ({error}). Export the bundle again."
        ) from error


def choose_plan(plans: Sequence[Plan], device: Device) -> Plan:
    """Return the first plan whose features the device has, or else the last, which needs the fewest."""
    return next((plan for plan in plans if set(plan.features) <= device.features), plans[-1])


def choose_residence(plan: Plan, context: int, choice: HostEmbeddingsChoice, memory: int | None) -> Residence:
    """Return the residence of embeddings. `auto`: the GPU, or the host if the plan fits into `memory` bytes only then.

    Raises DeviceError if the plan does not fit into `memory` bytes in any way that `choice` allows.
    """
    stated, tokens = plan_memory(plan), max(program.max_tokens for program in plan.programs.values())
    options: dict[HostEmbeddingsChoice, tuple[Residence, ...]] = {
        "auto": ("gpu", "host"),
        "never": ("gpu",),
        "always": ("host",),
    }
    possible = options[choice] if stated.embeddings else options["never"]
    needs = {embeddings: need_of(stated, tokens, context, embeddings).total for embeddings in possible}
    fitting = [embeddings for embeddings, need in needs.items() if memory is None or need <= memory]
    if fitting:
        return fitting[0]
    raise DeviceError(
        f"The {plan.activation} plan needs {min(needs.values()):,} bytes of GPU memory with a context of {context:,} "
        f"tokens, more than the {memory:,} allowed. Choose a smaller context or smaller weights; `gemtab inspect "
        "--fit` reports what fits."
    )


def _plans(folder: Path, manifest: Manifest, activation: str | None) -> list[Plan]:
    if activation not in (None, "f16", "f32"):
        raise UsageError(f"The plan {activation} is not known: choose f16 or f32.")
    entries = [entry for entry in manifest.plans if activation in (None, entry.activation)]
    if not entries:
        raise BundleError(f"{folder} has no {activation} plan: {MANIFEST_NAME} names none. Choose another one.")
    return [open_plan(folder, manifest, entry.file) for entry in entries]


def _largest(plans: Sequence[Plan]) -> Limits:
    dumps = [plan.limits.model_dump() for plan in plans]
    return Limits(**{name: max(dump[name] for dump in dumps) for name in dumps[0]})
