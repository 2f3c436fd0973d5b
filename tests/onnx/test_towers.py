"""The towers' ONNX graphs against the reference, several images and recordings in one call."""

from typing import get_args

import onnx
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from gemtab.backends.onnx.run import OnnxTower
from gemtab.backends.reference import Reference
from gemtab.bundle.manifest import WeightFormat
from gemtab.bundle.onnx_files import AUDIO_STEM, VISION_STEM
from gemtab.model.spec import PatchSpec
from gemtab.parity.tolerances import ACTIVATIONS
from gemtab.quantize import DequantisedWeights
from tests.onnx.conftest import Written, WrittenAs, tower_graphs
from tests.variants import TOWERS

SEEING = [name for name, recipe in TOWERS.items() if recipe.vision]
HEARING = [name for name, recipe in TOWERS.items() if recipe.audio]
# Two formats for every tower; all formats for the small ones.
FORMATS: tuple[WeightFormat, ...] = get_args(WeightFormat)
WIDE = ("e2b_towers", "large_tower")


def cases(names: list[str]) -> list[tuple[str, WeightFormat]]:
    """Names of variants with formats."""
    return [(name, one) for name in names for one in (("f32", "q4") if name in WIDE else FORMATS)]


# Cells across and down. The largest image is not the first.
IMAGES = [(2, 1), (3, 4), (1, 1), (5, 2)]
# Frames: four make a token, a remainder one more. A window has 12 tokens.
RECORDINGS = [57, 1, 132, 130, 4]


def reference(exported: Written, stem: str, batch: list[dict[str, torch.Tensor]]) -> list[torch.Tensor]:
    """The features of each item of a batch, computed alone and without padding."""
    tower = Reference(tower_graphs(exported.spec)[stem], DequantisedWeights(exported.weights, exported.format))
    return [features for inputs in batch for features in tower.run(inputs, {}).values()]


def images(exported: Written, cells: list[tuple[int, int]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Patches [N, width] of noise and positions [N, 2], for each size in cells."""
    vision, draw = exported.spec.vision, torch.Generator().manual_seed(4)
    side, patch = (1, vision.side) if isinstance(vision, PatchSpec) else (3, 16)
    made = []
    for columns, rows in cells:
        axes = torch.meshgrid(torch.arange(columns * side), torch.arange(rows * side), indexing="xy")
        positions = torch.stack(axes, -1).reshape(-1, 2)
        made.append((torch.rand(len(positions), 3 * patch**2, generator=draw), positions))
    return made


def recordings(exported: Written, lengths: list[int]) -> list[torch.Tensor]:
    """Frames [N, width] of noise, for each length."""
    width = tower_graphs(exported.spec)[AUDIO_STEM].inputs[0].shape[1]
    assert isinstance(width, int)
    draw = torch.Generator().manual_seed(5)
    return [torch.randn(length, width, generator=draw) for length in lengths]


def see(exported: Written, batch: list[tuple[torch.Tensor, torch.Tensor]], padding: float = 0.0) -> torch.Tensor:
    """The soft tokens of a batch. padding: the value of pixels of padding."""
    pixels = pad_sequence([pixels for pixels, _ in batch], batch_first=True, padding_value=padding)
    positions = pad_sequence([positions for _, positions in batch], batch_first=True, padding_value=-1)
    tower = OnnxTower(exported.folder, VISION_STEM, exported.format)
    return tower.run(pixel_values=pixels, pixel_position_ids=positions)


def hear(exported: Written, batch: list[torch.Tensor], padding: float = 0.0) -> torch.Tensor:
    """The soft tokens of a batch. padding: the value of frames of padding."""
    features = pad_sequence(batch, batch_first=True, padding_value=padding)
    mask = pad_sequence([torch.ones(len(one), dtype=torch.bool) for one in batch], batch_first=True)
    tower = OnnxTower(exported.folder, AUDIO_STEM, exported.format)
    return tower.run(input_features=features, input_features_mask=mask)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= ACTIVATIONS["f32"].max


@pytest.mark.parametrize(("name", "weight_format"), cases(SEEING))
def test_images_of_several_sizes(name: str, weight_format: WeightFormat, towers: WrittenAs) -> None:
    exported = towers(name, weight_format)
    batch = images(exported, IMAGES)
    alone = [{"pixel_values": pixels, "pixel_position_ids": positions} for pixels, positions in batch]
    expected = reference(exported, VISION_STEM, alone)
    assert [len(features) for features in expected] == [columns * rows for columns, rows in IMAGES]
    assert_close(see(exported, batch), torch.cat(expected))


@pytest.mark.parametrize(("name", "weight_format"), cases(HEARING))
def test_recordings_of_several_lengths(name: str, weight_format: WeightFormat, towers: WrittenAs) -> None:
    exported = towers(name, weight_format)
    batch = recordings(exported, RECORDINGS)
    expected = reference(exported, AUDIO_STEM, [{"input_features": one} for one in batch])
    assert_close(hear(exported, batch), torch.cat(expected))


@pytest.mark.parametrize("name", SEEING)
def test_what_stands_in_padded_patches_does_not_matter(name: str, towers: WrittenAs) -> None:
    exported = towers(name, "f32")
    batch = images(exported, IMAGES)
    torch.testing.assert_close(see(exported, batch, padding=1.0), see(exported, batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", HEARING)
def test_what_stands_in_padded_frames_does_not_matter(name: str, towers: WrittenAs) -> None:
    exported = towers(name, "f32")
    batch = recordings(exported, RECORDINGS)
    torch.testing.assert_close(hear(exported, batch, padding=9.0), hear(exported, batch), rtol=0, atol=1e-5)


def signature(values: "list[onnx.ValueInfoProto]") -> dict[str, tuple[int, list[int | str]]]:
    """Element type and shape by name."""
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


def test_inputs_and_outputs_are_what_transformers_js_feeds_and_reads(towers: WrittenAs) -> None:
    exported = towers("e2b_towers", "q4")
    vision, audio = (onnx.load(exported.graphs[stem], load_external_data=False) for stem in (VISION_STEM, AUDIO_STEM))
    f32, i64, boolean = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
    assert signature(vision.graph.input) == {
        "pixel_values": (f32, ["batch_size", "max_patches", 768]),
        "pixel_position_ids": (i64, ["batch_size", "max_patches", 2]),
    }
    assert signature(vision.graph.output) == {"image_features": (f32, ["soft_tokens", 96])}
    assert signature(audio.graph.input) == {
        "input_features": (f32, ["batch_size", "frames", 128]),
        "input_features_mask": (boolean, ["batch_size", "frames"]),
    }
    assert signature(audio.graph.output) == {"audio_features": (f32, ["soft_tokens", 96])}
