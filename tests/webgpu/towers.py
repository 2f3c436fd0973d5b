"""Runs a small graph of a tower's ops through the whole WebGPU backend and the reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gemtab.backends.reference import Reference
from gemtab.backends.webgpu.compile import write_tables
from gemtab.backends.webgpu.compile_tower import build_tower, tower_plan
from gemtab.backends.webgpu.engine.device import Device
from gemtab.backends.webgpu.engine.load import load_tower_plan
from gemtab.backends.webgpu.engine.runner import PlanRunner
from gemtab.backends.webgpu.engine.tower import Tower
from gemtab.backends.webgpu.fuse_tower import fuse_tower
from gemtab.backends.webgpu.stored import StoredWeights
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.plan import Limits
from gemtab.graph import Graph
from gemtab.quantize import DequantisedWeights, WeightReader
from tests.webgpu.graphs import POISON, Tensors, store, write_files


class Poisoning(Device):
    """Fills scratch with NaN: shows elements that a kernel does not write, and reads beyond its input."""

    def storage(self, label: str, size: int) -> Any:
        buffer = super().storage(label, size)
        if label.startswith("slot"):
            self.write(buffer, np.full(buffer.size // 4, POISON, np.uint32))
        return buffer


@dataclass
class TowerOnDevice:
    """A graph as the plan of a tower, and the reference on the dequantised weights."""

    graph: Graph
    tower: Tower
    reference: Reference

    @classmethod
    def make(
        cls,
        graph: Graph,
        folder: Path,
        device: Device,
        weight_format: WeightFormat = "f32",
        limits: Limits | None = None,
        weights: WeightReader | None = None,
        max_tokens: int = 1120,
    ) -> "TowerOnDevice":
        limits, weights = limits or Limits(), weights or Tensors()
        locations = store(graph, weights, weight_format, folder)
        most = limits.maxStorageBufferBindingSize
        stored = StoredWeights(weight_format, locations, lambda weight: weights.read(weight).tolist(), most)
        builder, lowering = build_tower(fuse_tower(graph), stored, limits, max_tokens)
        write_files(builder, folder)
        plan = tower_plan(builder, lowering, write_tables(folder, builder.shared.tables))
        tower = load_tower_plan(folder, plan, Poisoning(**vars(device)))
        return cls(graph, tower, Reference(graph, DequantisedWeights(weights, weight_format)))

    @property
    def runner(self) -> PlanRunner:
        return self.tower.runner

    def run(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (found, expected) of the only output."""
        (expected,) = self.reference.run(inputs, {}).values()
        found = self.tower.encode(as_arrays(inputs)).reshape(-1)[: expected.numel()]
        return torch.from_numpy(found).reshape(expected.shape), expected


def as_arrays(inputs: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Inputs for the executor: f32, and i32 for positions."""
    return {name: (x if x.is_floating_point() else x.int()).numpy() for name, x in inputs.items()}


def patch_grid(across: int, down: int) -> torch.Tensor:
    """Positions (x, y) row by row: [across * down, 2]."""
    return torch.stack(torch.meshgrid(torch.arange(across), torch.arange(down), indexing="xy"), -1).reshape(-1, 2)
