"""Runs a small graph through the whole WebGPU backend: fuse, lower, place, render, execute."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import torch

from gemtab.backends.reference import Reference
from gemtab.backends.webgpu.cache_scales import Activation
from gemtab.backends.webgpu.compile import PlanBuilder, lower_program, write_tables
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.load import load_text_plan
from gemtab.backends.webgpu.engine.runner import PlanRunner
from gemtab.backends.webgpu.engine.text_runner import TextRunner
from gemtab.backends.webgpu.fuse import fuse
from gemtab.backends.webgpu.lower import Shared
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.location import Location
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Limits, ScratchBuffer, evaluate
from gemtab.graph import Graph, Weight
from gemtab.quantize import DequantisedWeights, WeightReader, packed_rows

POISON = 0x7FC07E00
"""NaN as an f32, and NaN and zero as two f16: shows elements that a kernel does not write."""


@dataclass(frozen=True)
class Tensors:
    """Random weights, which depend on the weight's name alone."""

    made: dict[str, torch.Tensor] = field(default_factory=dict)

    def read(self, weight: Weight) -> torch.Tensor:
        if weight.name not in self.made:
            generator = torch.Generator().manual_seed(len(weight.name) + prod(weight.shape))
            spread = 0.2 if weight.role == "vector" else weight.shape[-1] ** -0.5
            centre = 1.0 if weight.role == "vector" else 0.0
            self.made[weight.name] = centre + spread * torch.randn(weight.shape, generator=generator)
        return self.made[weight.name]

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        return self.read(weight)[start:stop]


@dataclass(frozen=True)
class Setting:
    """Settings of the compiler. fill: use the kernels for many tokens."""

    activation: Activation = "f32"
    weight_format: WeightFormat = "f32"
    fill: bool = False
    context: int = 512
    limits: Limits = field(default_factory=Limits)
    fill_tokens: int = 64


def store(
    graph: Graph, weights: WeightReader, weight_format: WeightFormat, folder: Path
) -> dict[tuple[str, str], Location]:
    """Pack a graph's weights into one file."""
    content, locations = bytearray(), {}
    for weight in graph.weights():
        planes = packed_rows(weights, weight, weight_format, 0, weight.shape[0])
        for name, plane in planes.items():
            content.extend(b"\0" * (-len(content) % 256))
            locations[weight.name, str(name)] = Location("weights.bin", len(content), plane.nbytes)
            content.extend(plane.tobytes())
    (folder / "weights.bin").write_bytes(bytes(content) + b"\0" * 4)
    return locations


@dataclass
class GraphOnDevice:
    """A graph as the only program, `run`, of a plan, and the reference on the dequantised weights."""

    graph: Graph
    setting: Setting
    text: TextRunner
    reference: Reference
    caches: dict[str, object] = field(default_factory=dict)
    position: int = 0

    @classmethod
    def make(
        cls,
        graph: Graph,
        setting: Setting,
        tokens: int,
        folder: Path,
        device: Device,
        weights: WeightReader | None = None,
    ) -> "GraphOnDevice":
        weights = weights or Tensors()
        locations = store(graph, weights, setting.weight_format, folder)
        limit = setting.limits.maxStorageBufferBindingSize
        held = DequantisedWeights(weights, setting.weight_format)
        stored = StoredWeights(
            setting.weight_format,
            locations,
            lambda weight: weights.read(weight).tolist(),
            limit,
            lambda weight, first, stop: held.read_rows(weight, first, stop).numpy(),
        )
        shared = Shared(stored, setting.activation, setting.limits, setting.context, max(tokens, setting.fill_tokens))
        kept = [name for name, value in graph.outputs.items() if value.dtype == "f32"]
        lowering, outputs = lower_program(shared, fuse(graph), tokens, setting.fill, keep=kept)
        lowering.advance()
        builder = PlanBuilder(shared, vocabulary=1 << 20)
        builder.add_program(
            "run", lowering, tokens, outputs, [value.name for value in graph.inputs if value.dtype == "f32"]
        )
        write_files(builder, folder)
        text = load_text_plan(folder, builder.finish(write_tables(folder, shared.tables)), device)
        return cls(graph, setting, text, Reference(graph, held))

    @property
    def runner(self) -> PlanRunner:
        return self.text.runner

    def step(self, inputs: Mapping[str, torch.Tensor], tokens: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Run `tokens` tokens on both. Return (found, expected) by output."""
        for name, buffer in self.runner.plan.buffers.items():
            if isinstance(buffer, ScratchBuffer):
                self.runner.write(name, np.full(evaluate(buffer.bytes, {"T": tokens}) // 4, POISON, np.uint32))
        ids = inputs.get("ids")
        for value in self.graph.inputs:
            if value.dtype == "f32":
                self.runner.write(f"run/{value.name}", inputs[value.name].numpy())
        self.text.run("run", None if ids is None else ids.tolist(), tokens)
        positions = torch.arange(self.position, self.position + tokens)
        expected = self.reference.run({**inputs, "positions": positions}, self.caches)  # type: ignore[arg-type]
        self.position += tokens
        return {name: (self._read(name, tensor), tensor) for name, tensor in expected.items()}

    def _read(self, name: str, like: torch.Tensor) -> torch.Tensor:
        data = self.runner.read(self.runner.plan.programs["run"].outputs[name], np.float32, like.numel())
        return torch.from_numpy(data).reshape(like.shape)


def write_files(builder: PlanBuilder, folder: Path) -> None:
    """Write the weight files and shaders of a plan."""
    (folder / "plan").mkdir(exist_ok=True)
    (folder / "shaders").mkdir(exist_ok=True)
    for file, text in builder.shaders.items():
        (folder / file).write_text(text)


def assert_close(
    found: torch.Tensor, expected: torch.Tensor, activation: Activation = "f32", least: float = 1.0
) -> None:
    """Compare within rounding of f32, or of f16 caches, relative to the largest value or to `least`. NaN fails."""
    tolerance = {"f32": 1e-5, "f16": 4e-3}[activation]
    error = (found - expected).abs().max().item()
    assert error <= tolerance * max(least, expected.abs().max().item()), f"off by {error:.3g}"


@dataclass(frozen=True)
class Scaled:
    """Random weights, some multiplied by factors, which are given by name."""

    factors: Mapping[str, float]
    weights: Tensors = field(default_factory=Tensors)

    def read(self, weight: Weight) -> torch.Tensor:
        return self.weights.read(weight) * self.factors.get(weight.name, 1.0)

    def read_rows(self, weight: Weight, start: int, stop: int) -> torch.Tensor:
        return self.read(weight)[start:stop]
