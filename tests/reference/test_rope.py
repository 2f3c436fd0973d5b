"""RoPE at positions where f32 angles lose their fraction."""

import math

import torch

from gemtab.backends.reference import rope


def test_the_last_position_is_as_exact_as_the_first() -> None:
    size, theta = 8, 1e4
    x = torch.zeros(2, 1, size)
    x[:, 0, 0] = 1.0
    x[:, 0, 1] = 1.0
    positions = torch.tensor([1, 262_143])
    rotated = rope(x, positions, theta=theta, rotated_pairs=size // 2)
    for row, position in enumerate(positions.tolist()):
        for pair in (0, 1):
            angle = position * theta ** (-2 * pair / size)
            assert math.isclose(rotated[row, 0, pair], math.cos(angle), abs_tol=1e-6)
            assert math.isclose(rotated[row, 0, pair + size // 2], math.sin(angle), abs_tol=1e-6)


def test_pairs_beyond_the_rotated_stay() -> None:
    x = torch.randn(3, 2, 16, generator=torch.Generator().manual_seed(0))
    rotated = rope(x, torch.tensor([5, 6, 7]), theta=1e6, rotated_pairs=2)
    still = [i for i in range(16) if i not in (0, 1, 8, 9)]
    assert torch.equal(rotated[..., still], x[..., still])
    assert not torch.isclose(rotated[..., [0, 1, 8, 9]], x[..., [0, 1, 8, 9]]).any()
    assert torch.allclose(rotated.norm(dim=-1), x.norm(dim=-1), rtol=1e-5)
