"""The towers on the reference backend against transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gemtab.backends.reference import Reference
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.graph import Graph
from gemtab.model.audio import audio_graph
from gemtab.model.spec import PatchSpec
from gemtab.model.vision import vision_graph
from gemtab.parity.tolerances import TRANSFORMERS_MAX
from tests.variants import TOWERS, load_transformers

Folder = Callable[[str], Path]

SEEING = [name for name, recipe in TOWERS.items() if recipe.vision]
HEARING = [name for name, recipe in TOWERS.items() if recipe.audio]
# Cells across and down: a rectangle, a strip, a single cell.
CELLS = [(3, 2), (5, 1), (1, 1)]


def run(graph: Graph, folder: Path, **inputs: torch.Tensor) -> torch.Tensor:
    spec = load_spec(folder)
    weights = CheckpointWeights(Checkpoint.open(folder), spec)
    (output,) = Reference(graph, weights).run(inputs, {}).values()
    return output


def grid(columns: int, rows: int) -> torch.Tensor:
    """Positions (x, y) row by row: [columns * rows, 2]."""
    return torch.stack(torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy"), -1).reshape(-1, 2)


def padded(tensor: torch.Tensor, rows: int, value: float) -> torch.Tensor:
    """Pad as transformers' processors: rows of `value` at the end, in a batch of one."""
    return torch.nn.functional.pad(tensor, (0, 0, 0, rows), value=value)[None]


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("name", SEEING)
def test_images(name: str, cells: tuple[int, int], checkpoint_folder: Folder) -> None:
    folder = checkpoint_folder(name)
    spec = load_spec(folder)
    assert spec.vision is not None
    towerless = isinstance(spec.vision, PatchSpec)
    side = 1 if towerless else 3
    positions = grid(cells[0] * side, cells[1] * side)
    width = 3 * (48 if towerless else 16) ** 2
    pixels = torch.rand(len(positions), width, generator=torch.Generator().manual_seed(2))

    model: Any = load_transformers(folder)
    with torch.inference_mode():
        (expected,) = model.get_image_features(
            padded(pixels, 9, 0.0), image_position_ids=padded(positions, 9, -1)
        ).pooler_output
    graph = vision_graph(spec.vision, spec.text)
    found = run(graph, folder, pixel_values=pixels, pixel_position_ids=positions)
    assert found.shape == expected.shape == (cells[0] * cells[1], spec.text.hidden)
    error = float((found - expected).abs().max())

    assert error < TRANSFORMERS_MAX


@pytest.mark.parametrize("frames", [1, 4, 57, 130, 131, 132, 133])
@pytest.mark.parametrize("name", HEARING)
def test_audio(name: str, frames: int, checkpoint_folder: Folder) -> None:
    folder = checkpoint_folder(name)
    spec = load_spec(folder)
    assert spec.audio is not None
    graph = audio_graph(spec.audio, spec.text)
    width = graph.inputs[0].shape[1]
    assert isinstance(width, int)
    features = torch.randn(frames, width, generator=torch.Generator().manual_seed(3))

    model: Any = load_transformers(folder)
    mask = torch.arange(frames + 5)[None] < frames
    with torch.inference_mode():
        heard = model.model.get_audio_features(padded(features, 5, 0.0), input_features_mask=mask)
    expected = heard.pooler_output[heard.attention_mask]
    found = run(graph, folder, input_features=features)
    assert found.shape == expected.shape
    error = float((found - expected).abs().max())

    assert error < TRANSFORMERS_MAX
