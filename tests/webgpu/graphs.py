"""Runs a small graph through the whole WebGPU backend: fuse, lower, place, render, execute."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gemtab.backends.webgpu.compile import PlanBuilder, lower_program, write_tables
from gemtab.backends.webgpu.device import Device, open_device
from gemtab.backends.webgpu.executor import PlanRunner
from gemtab.backends.webgpu.lower import Activation, Shared
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Limits
from gemtab.bundle.shards import Location
from gemtab.graph import Graph, Weight
from gemtab.quantize import pack, storage_format

SHADERS = Path(__file__).parents[2] / "shaders"


@dataclass(frozen=True)
class Tensors:
    """Weights by name, as a WeightReader."""

    values: Mapping[str, torch.Tensor]

    def read(self, weight: Weight) -> torch.Tensor:
        """The tensor of `weight`."""
        return self.values[weight.name]

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        """Rows of it."""
        return self.values[weight.name][start:stop]


@dataclass(frozen=True)
class Setting:
    """How a graph is compiled and on what it runs. `subgroups` False takes the forms that need none."""

    activation: Activation = "f32"
    format: WeightFormat = "f32"
    fill: bool = False
    subgroups: bool = True
    context: int = 512
    limits: Limits = Limits()
    fill_tokens: int = 64


def device_for(setting: Setting) -> Device:
    """A device, without subgroups where the setting says so."""
    device = open_device(setting.limits)
    features = device.features if setting.subgroups else device.features - {"subgroups"}
    return Device(device.gpu, features, device.name)


def store(graph: Graph, weights: Tensors, form: WeightFormat, folder: Path) -> dict[tuple[str, str], Location]:
    """Pack a graph's weights into one file."""
    content, locations = bytearray(), {}
    for weight in graph.weights():
        planes = pack(weights.read(weight), storage_format(weight, form))
        for name, plane in planes.items():
            content.extend(b"\0" * (-len(content) % 256))
            locations[weight.name, name] = Location(file="weights.bin", offset=len(content), bytes=plane.nbytes)
            content.extend(plane.tobytes())
    (folder / "weights.bin").write_bytes(bytes(content) + b"\0" * 4)
    return locations


def compile_graph(
    graph: Graph, weights: Tensors, setting: Setting, tokens: int, folder: Path
) -> tuple[PlanBuilder, Shared]:
    """The graph as the only program, `run`, of a plan whose files are written to `folder`."""
    locations = store(graph, weights, setting.format, folder)
    stored = StoredWeights(
        setting.format,
        locations,
        lambda weight: float(weights.read(weight).item()),
        setting.limits.maxStorageBufferBindingSize,
    )
    shared = Shared(stored, setting.activation, setting.limits, setting.context, max(tokens, setting.fill_tokens))
    kept = [name for name, value in graph.outputs.items() if value.dtype == "f32"]
    lowering, outputs = lower_program(shared, graph, tokens, setting.fill, keep=kept)
    lowering.advance()
    builder = PlanBuilder(shared, vocabulary=1 << 20)
    inputs = [value.name for value in graph.inputs if value.dtype == "f32"]
    builder.add_program("run", lowering, tokens, outputs, inputs)
    (folder / "shaders").mkdir(exist_ok=True)
    for file, text in builder.shaders.items():
        (folder / file).write_text(text)
    return builder, shared


def runner_for(
    graph: Graph, weights: Tensors, setting: Setting, tokens: int, folder: Path, device: Device | None = None
) -> PlanRunner:
    """The graph compiled and loaded. Scratch starts as NaN, so that what is not written shows."""
    builder, shared = compile_graph(graph, weights, setting, tokens, folder)
    (folder / "plan").mkdir(exist_ok=True)
    plan = builder.finish(write_tables(folder, shared.tables))
    (folder / "plan" / "plan.json").write_text(json.dumps(json.loads(plan.model_dump_json()), indent=1))
    runner = PlanRunner(folder, plan, device=device or device_for(setting))
    for name, buffer in plan.buffers.items():
        if buffer.kind == "scratch":
            runner.write(name, np.full(buffer.bytes // 4, 0x7FC07E00, np.uint32))
    return runner


def read_output(
    runner: PlanRunner, graph: Graph, name: str, tokens: int, activation: Activation, wide: bool
) -> torch.Tensor:
    """An output of `run` as f32 [tokens, …]."""
    shape = [dim for dim in graph.outputs[name].shape if isinstance(dim, int)]
    dtype = np.float32 if wide or activation == "f32" else np.float16
    count = tokens * int(np.prod(shape))
    data = runner.read(runner.plan.programs["run"].outputs[name], dtype, count)
    return torch.from_numpy(data.astype(np.float32)).reshape(tokens, *shape)
