"""Weights that were trained for Q4_0 and saved in bf16 keep their scales and codes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gemtab.quantize import pack, unpack
from tests.gridded import gridded


def trained(
    rows: int, columns: int, seed: int, spread: float = 0.02
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights as such a training leaves them: bf16 values, and the scales and numbers that they are made of."""
    generator = torch.Generator().manual_seed(seed)
    return gridded(spread * torch.randn(rows, columns, generator=generator))


@given(st.integers(0, 2**16), st.sampled_from([1e-3, 0.02, 1.0, 30.0]))
def test_every_value_is_scale_times_code_in_bf16(seed: int, spread: float) -> None:
    values, _, numbers = trained(8, 128, seed, spread)
    planes = pack(values, "q4")
    codes = torch.from_numpy(planes["codes"])
    found = torch.stack([codes & 15, codes >> 4], -1).flatten(-2).float() - 8
    assert torch.equal(found, numbers)
    exact = torch.from_numpy(planes["scales"]).float()[..., None] * found
    assert torch.equal(exact.to(torch.bfloat16).float().reshape(values.shape), values)


def test_scales_are_nearer_than_requantising_would_have_them() -> None:
    """bf16 keeps eight bits of a scale: taken from the largest value alone it is off by up to a 512th."""
    values, scales, _ = trained(64, 1024, 3)
    found = torch.from_numpy(pack(values, "q4")["scales"]).float()
    error = (found / scales.float() - 1).abs()
    largest = values.reshape(64, -1, 32)
    taken = (largest.gather(-1, largest.abs().argmax(-1, keepdim=True))[..., 0] / -8).to(torch.float16).float()
    assert error.mean() < 0.9 * (taken / scales.float() - 1).abs().mean()
    assert error.max() <= 2**-8


def test_blocks_off_the_grid_are_quantised_as_ever() -> None:
    """One value of a block moved by a quarter of a step: that block is like any other, its neighbours are not."""
    values, _, _ = trained(4, 96, 5)
    moved = values.clone()
    moved[1, 40] *= 1.03
    before, after = pack(values, "q4"), pack(moved, "q4")
    same = torch.from_numpy(before["scales"] == after["scales"])
    assert same.sum() >= 11
    free = torch.randn(16, 64, generator=torch.Generator().manual_seed(1))
    error = (unpack(pack(free, "q4"), "q4", (16, 64)) - free).abs().max()
    assert error <= free.abs().max() / 8


@pytest.mark.parametrize("columns", [32, 72])
def test_zeros_and_ragged_rows(columns: int) -> None:
    values = torch.zeros(3, columns)
    values[1] = 0.5
    assert torch.equal(unpack(pack(values, "q4"), "q4", (3, columns)), values)
