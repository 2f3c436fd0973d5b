"""Weights that were trained for Q4_0 and saved in bf16 keep their scales and codes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gemtab.quantize import BLOCK, Planes, pack, pack_counted, unpack
from tests.gridded import exact_blocks, gridded, of_codes


def trained(
    rows: int, columns: int, seed: int, spread: float = 0.02
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights as after such a training: bf16 values, and their scales and numbers."""
    generator = torch.Generator().manual_seed(seed)
    return gridded(spread * torch.randn(rows, columns, generator=generator))


def numbers_in(planes: Planes) -> torch.Tensor:
    """The numbers from -8 to 7 of q4's planes, [rows, blocks, 32] f32."""
    codes = torch.from_numpy(planes["codes"])
    return torch.stack([codes & 15, codes >> 4], -1).flatten(-2).float() - 8


def stored_by(planes: Planes) -> torch.Tensor:
    """The values of q4 planes in a bf16 checkpoint, [rows, columns] f32."""
    exact = torch.from_numpy(planes["scales"]).float()[..., None] * numbers_in(planes)
    return exact.to(torch.bfloat16).float().flatten(-2)


def random(rows: int, columns: int, seed: int) -> torch.Tensor:
    """Ordinary weights in bf16, [rows, columns] f32."""
    values = 0.02 * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    return values.to(torch.bfloat16).float()


RANGES = [(-8, 7), (-7, 7), (-5, 6), (-8, 0), (0, 7), (-3, 3), (-1, 1)]
"""Ranges of numbers: clips of a training, and parts of a range that a block may use."""


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_blocks_may_reach_any_number(low: int, high: int) -> None:
    values, scales, numbers = of_codes((512, 512), low, high, seed=7)
    planes = pack(values, "q4")
    assert torch.equal(stored_by(planes), values)
    # If only one grid has a block's numbers, they are recovered, and the scale as far as its bits are known. The sign
    # is free without -8. Up to 3, numbers may be doubled and the scale halved.
    found, found_scales = numbers_in(planes), torch.from_numpy(planes["scales"]).float()
    known = (numbers.abs() == 1).any(-1) & (numbers.amax(-1) == high) & (high - low > 6)
    sign = torch.where((numbers == -8).any(-1), 1.0, found_scales.sign())
    assert torch.equal((found * sign[..., None])[known], numbers[known])
    assert ((found_scales * sign / scales.float() - 1).abs() <= 2**-7)[known].all()


@given(st.integers(0, 2**16), st.sampled_from(RANGES), st.sampled_from([-1, 1]))
def test_scales_of_either_sign(seed: int, numbers: tuple[int, int], sign: int) -> None:
    values = sign * of_codes((4, 128), *numbers, seed)[0]
    assert torch.equal(stored_by(pack(values, "q4")), values)


def test_blocks_on_a_grid_among_others() -> None:
    """Every third block has ordinary weights, every seventh zeros, the rest numbers of four ranges."""
    rows, blocks = 300, 21
    ranges = [of_codes((rows, blocks * BLOCK), low, high, seed=low)[0] for low, high in RANGES[:4]]
    kinds = torch.arange(rows * blocks)
    flat = torch.stack([values.reshape(-1, BLOCK) for values in ranges])[kinds % 4, kinds]
    ordinary, zero = kinds % 3 == 0, kinds % 7 == 0
    free = random(rows, blocks * BLOCK, 3)
    flat[ordinary] = free.reshape(-1, BLOCK)[ordinary]
    flat[zero] = 0
    planes, exact = pack_counted(flat.reshape(rows, -1), "q4")
    assert exact == exact_blocks(flat.reshape(rows, -1), planes) == int((~ordinary | zero).sum())
    same = (stored_by(planes).reshape(-1, BLOCK) == flat).all(-1)
    assert torch.equal(same, ~ordinary | zero)
    # Ordinary blocks are packed as if no block were on a grid.
    alone, off = pack(free, "q4"), (ordinary & ~zero).numpy()
    for name in ("codes", "scales"):
        packed, expected = (each[name].reshape(rows * blocks, -1) for each in (planes, alone))
        assert (packed[off] == expected[off]).all()


def test_ordinary_weights_pass_for_no_grid() -> None:
    free = random(2048, 512, 11)
    planes, exact = pack_counted(free, "q4")
    assert exact == exact_blocks(free, planes) == 0
    # Also beside blocks on a grid, when each block is tried.
    mixed = torch.cat([free, of_codes((2048, 512), -7, 7, seed=1)[0]], dim=1)
    same = (stored_by(pack(mixed, "q4")) == mixed).reshape(2048, -1, BLOCK).all(-1)
    assert not same[:, :16].any() and same[:, 16:].all()


@given(st.integers(0, 2**16), st.sampled_from([1e-3, 0.02, 1.0, 30.0]))
def test_every_value_is_scale_times_code_in_bf16(seed: int, spread: float) -> None:
    values, _, numbers = trained(8, 128, seed, spread)
    planes, exact = pack_counted(values, "q4")
    assert exact == exact_blocks(values, planes) == 32
    assert torch.equal(numbers_in(planes), numbers)
    assert torch.equal(stored_by(planes), values)


def test_scales_are_nearer_than_requantising_would_have_them() -> None:
    """bf16 keeps eight bits of a scale: computed from the largest value alone, it would be off by up to 1/512."""
    values, scales, _ = trained(64, 1024, 3)
    found = torch.from_numpy(pack(values, "q4")["scales"]).float()
    error = (found / scales.float() - 1).abs()
    largest = values.reshape(64, -1, 32)
    taken = (largest.gather(-1, largest.abs().argmax(-1, keepdim=True))[..., 0] / -8).to(torch.float16).float()
    assert error.mean() < 0.9 * (taken / scales.float() - 1).abs().mean()
    assert error.max() <= 2**-8


def test_blocks_off_the_grid_are_quantised_as_ever() -> None:
    """One value is moved by a quarter of a step: its block is on no grid, but its neighbours are."""
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
