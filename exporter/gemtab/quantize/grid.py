"""The 4-bit grid that weights lie on where a model was trained for Q4_0 and saved unquantised.

Such a weight is a scale in f16 times a whole number from -8 to 7, rounded to bf16. The rounding hides the scale's last
bits: the largest value of a block gives eight of its eleven, and another scale would be another model. Here the others
come back, from what each of the block's values leaves possible.
"""

import torch

_NEAR = 2.0**-7
"""How far a rounded value may lie from the grid that the block's largest value spans, relatively."""

_SAMPLED = 256
"""Blocks that are looked at first, from all over."""

_FEW = 4
"""Values of a block that are looked at first."""

_HALF_STEP = 0x8000
"""Half of the distance to the next bf16, in the bits of an f32."""


def on_grid(values: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """`scales` with those put right of blocks that lie on a grid, so that bf16(scale * code) is each stored value.

    values: [..., 32] f32; codes: [..., 32], 8 standing for 0, of which -8 is the largest value's; scales: [...] f16.
    Scales of other blocks stay as they are.
    """
    # Where there is no grid, hardly a block passes for one by its first values: none of a sample, and the rest need not
    # be looked at.
    apart = max(1, scales.numel() // _SAMPLED)
    blocks = values.view(-1, values.shape[-1]), codes.view(-1, codes.shape[-1]), scales.view(-1)
    if not bool(_near_at_first(*(part[::apart] for part in blocks)).any()):
        return scales
    few = _near_at_first(values, codes, scales)
    index = few.nonzero(as_tuple=True)
    index = tuple(axis[_near(values[index], codes[index], scales[index])] for axis in index)
    found = scales.clone()
    found[index] = _recovered(values[index], codes[index].float() - 8, scales[index])
    return found


def _near_at_first(values: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Whether the first values of a block are near to what codes and scale say, and not all 0, [...]."""
    return _near(values[..., :_FEW], codes[..., :_FEW], scales) & (scales != 0)


def _near(values: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Whether all values of a block are near to what codes and scale say, [...]."""
    return ((codes.float() - 8) * scales.float()[..., None] - values).abs().le(values.abs() * _NEAR).all(-1)


def _recovered(values: torch.Tensor, numbers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The given scale where it is possible, else the one in the middle of those that are, [blocks]."""
    bits = values.abs().view(torch.int32)
    counts = numbers.abs()
    lowest = torch.where(counts == 0, 0.0, (bits - _HALF_STEP).view(torch.float32) / counts).amax(-1)
    highest = torch.where(counts == 0, torch.inf, (bits + _HALF_STEP).view(torch.float32) / counts).amin(-1)
    middle = ((lowest + highest) / 2 * scales.float().sign()).to(torch.float16)
    neighbours = [(middle.view(torch.int16) + step).view(torch.float16) for step in (1, -1)]
    found = scales
    for candidate in (*neighbours, middle, scales):  # the last that fits is taken
        rounded = (candidate.float()[:, None] * numbers).to(torch.bfloat16).float()
        found = torch.where((rounded == values).all(-1), candidate, found)
    return found
