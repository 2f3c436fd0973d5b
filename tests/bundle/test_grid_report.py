"""The report of an export on a model that was trained for Q4_0."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gemtab.bundle.manifest import Grid, WeightFormat
from gemtab.export import export_bundle
from gemtab.quantize import pack_counted
from tests.gridded import exact_blocks, gridded
from tests.silent import Silent
from tests.variants import variant

UP = "model.language_model.layers.1.mlp.up_proj.weight"


def exported(source: Path, out: Path, weights: WeightFormat = "q4") -> Grid | None:
    return export_bundle(source, out, weights, 256, False, Silent()).grid


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    return variant("gridded", tmp_path / "checkpoint", with_tokenizer=True)


def test_every_matrix_is_exact(trained: Path, tmp_path: Path) -> None:
    grid = exported(trained, tmp_path / "out")
    assert grid is not None
    assert grid.exact > 40 and not grid.others


def test_a_matrix_off_the_grid_is_reported_with_its_error(trained: Path, tmp_path: Path) -> None:
    path = trained / "model.safetensors"
    tensors = load_file(path)
    before = tensors[UP].float()
    moved = before.clone()
    moved[: len(moved) // 4] = torch.randn(len(moved) // 4, moved.shape[1]) * before.std()
    save_file({**tensors, UP: moved.to(torch.bfloat16)}, path, {"format": "pt"})
    grid = exported(trained, tmp_path / "out")
    assert grid is not None
    (one,) = grid.others
    # Gate and up are one weight: an eighth of the rows are off.
    assert one.weight == "layers.1.gate_up"
    assert one.exact == pytest.approx(7 / 8, abs=0.01)
    assert 0.02 < one.error < 0.08, "q4 loses about 8 % of an eighth of such values"


def test_other_models_and_formats_have_no_grid(trained: Path, tmp_path: Path) -> None:
    assert exported(variant("base", tmp_path / "base", with_tokenizer=True), tmp_path / "out") is None
    assert exported(trained, tmp_path / "q8", "q8") is None


@pytest.mark.parametrize("columns", [64, 72])
def test_blocks_are_counted_value_for_value(columns: int) -> None:
    values, _, _ = gridded(torch.randn(40, columns, generator=torch.Generator().manual_seed(2)))
    blocks = -(-columns // 32)
    off = values.clone()
    off[7, 0] *= 1.03
    free = torch.randn(40, columns)
    cases = ((values, 40 * blocks), (off, 40 * blocks - 1), (values.reshape(2, 20, columns), 40 * blocks), (free, 0))
    for one, expected in cases:
        planes, exact = pack_counted(one, "q4")
        assert exact == exact_blocks(one, planes) == expected
