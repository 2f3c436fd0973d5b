"""The 4-bit grid that weights lie on where a model was trained for Q4_0 and saved unquantised.

Such a weight is a scale in f16 times a whole number from -8 to 7, rounded to bf16. The rounding hides the scale's last
bits: the largest value of a block gives eight of its eleven, and another scale would be another model. Here the others
come back, from what each of the block's values leaves possible.

Which number the largest value stands for is not told: -8 where llama.cpp's quantiser chose the scales, but a training
may clip otherwise, and a block need not reach as far as its range. So each is tried, -8 first and then 7 to 1; below 8
the signs of scale and numbers are free, and the scale is taken as positive. More than one may do: 6 where it is 3, with
numbers doubled and the scale halved, which is the same model.
"""

import torch

_NEAR = 1.01 * 2.0**-7
"""How far a rounded value may lie from the grid that the block's largest value spans, relatively: both are rounded to
eight bits, and f32 takes a little more."""

_SAMPLED = 256
"""Blocks that are looked at first, from all over."""

_FEW = 6
"""Values of a block that are looked at first: hardly any six lie near to one of the eight grids by chance."""

_HALF_STEP = 0x8000
"""Half of the distance to the next bf16, in the bits of an f32."""

_NO_VALUE = 2.0**-100
"""Stands for 0 in bounds: its bits can be stepped down from, and it bounds no scale of f16."""

_LARGEST = (-8, 7, 6, 5, 4, 3, 2, 1)
"""Numbers that the largest value of a block may stand for, in the order in which they are tried."""


def on_grid(
    values: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor, largest: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """`codes` and `scales` with those put right of blocks that lie on a grid, so that bf16(scale * (code - 8)) is each
    stored value, and how many blocks those are, of zeros included.

    values: [..., 32] f32; codes: [..., 32] u8, 8 standing for 0; scales: [...] f16; largest: [...] f32, a block's value
    of largest magnitude, which codes and scales take for -8. Other blocks keep theirs, and so do those of zeros.
    """
    blocks, spans = values.view(-1, values.shape[-1]), largest.reshape(-1)
    zeros = exact = len(spans) - int(spans.count_nonzero())
    # Where there is no grid, hardly a block passes for one by its first values: none of a sample, and the rest need not
    # be looked at.
    apart = len(spans) // _SAMPLED | 1  # odd, so as not to meet the same columns in every row
    sample = blocks[::apart, :_FEW].T.contiguous()[:, None]  # [values, 1, blocks]
    if not bool(_near(sample, spans[::apart] / torch.tensor(_LARGEST)[:, None]).any()):
        return codes, scales, zeros
    new_codes, new_scales = codes.clone(), scales.clone()
    # Eight codes are moved as one number: that is faster.
    flat_codes, flat_scales = new_codes.view(torch.int64).view(-1, codes.shape[-1] // 8), new_scales.view(-1)
    left = spans.nonzero()[:, 0]
    firsts = blocks[:, :_FEW].T.contiguous()
    if len(left) < len(spans):
        firsts, spans = firsts[:, left], spans[left]
    for number in _LARGEST:
        guesses = spans / number if number < 0 else spans.abs() / number
        near = _near(firsts, guesses).nonzero()[:, 0]
        if not len(near):
            continue
        index = left[near]
        looked_at = blocks if len(index) == len(blocks) else blocks.index_select(0, index)
        numbers, found = _recovered(looked_at, guesses[near], number)
        fits = found.nonzero()[:, 0]
        if not len(fits):
            continue
        exact += len(fits)
        flat_scales[index[fits]] = found[fits]
        if number != -8:  # the given codes are those for -8
            flat_codes[index[fits]] = numbers.add_(8).to(torch.uint8).view(torch.int64).index_select(0, fits)
        rest = torch.ones(len(left), dtype=torch.bool).index_fill_(0, near[fits], False).nonzero()[:, 0]
        if not len(rest):
            break
        left, firsts, spans = left[rest], firsts[:, rest], spans[rest]
    return new_codes, new_scales, exact


# Below, what holds for every value of a block is asked as the largest of numbers that should not exceed 0: torch
# compares floats and joins truths along an axis at a tenth of the speed.


def _near(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Whether the values [n, ...] of a block are near to multiples of its scale [...], all n of them."""
    numbers = (values / scales).round_()
    distance = numbers.mul_(scales).sub_(values).abs_()
    return distance.sub_(values.abs(), alpha=_NEAR).amax(0) <= 0


def _recovered(values: torch.Tensor, guesses: torch.Tensor, largest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers [blocks, 32] f32 and scales [blocks] f16 that make up the values [blocks, 32] exactly; a scale is 0 where
    there is none. guesses: [blocks] f32, right to eight bits where the largest value stands for `largest`."""
    numbers = (values * (1 / guesses)[:, None]).round_()
    if largest == -8:
        numbers.clamp_(max=7)  # with largest values of both signs, a block is found to be on no such grid
    # The scale that is nearest to all values together: mostly it is the one, as their roundings cancel each other out.
    ones = torch.ones(values.shape[-1])
    nearest = ((values * numbers) @ ones / (numbers.square() @ ones)).to(torch.float16)
    # Where a scale had no more bits than bf16, the guess is that scale: it goes first within two steps.
    guess = guesses.to(torch.float16)
    steps = (guess.view(torch.int16) - nearest.view(torch.int16)).abs()
    candidate = torch.where(steps <= 2, guess, nearest) if largest == -8 else nearest
    found = torch.where(_exact(values, numbers, candidate), candidate, 0.0)
    missed = (found == 0).nonzero()[:, 0]
    if len(missed):
        rest = values.index_select(0, missed), numbers.index_select(0, missed)
        middle = _middle(*rest).copysign_(guesses[missed]).to(torch.float16)
        better = found[missed]
        # Neighbours: where its products are ties that fall to the other side, or the bounds lie within a step of f16.
        for step in (1, -1, 0):  # the last that fits is taken
            neighbour = (middle.view(torch.int16) + step).view(torch.float16)
            better = torch.where(_exact(*rest, neighbour), neighbour, better)
        found[missed] = better
    return numbers, found


def _middle(values: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """The size of a block's scale, in the middle of what its values leave possible: one that was rounded from between a
    and b, as n times the scale, leaves a / n to b / n; a 0 leaves every scale."""
    counts = numbers.abs()
    bits = values.abs().clamp_(min=_NO_VALUE).view(torch.int32)
    # The upper bound is taken as the largest n / b, where 0 needs no exception.
    highest = 1 / (counts / (bits + _HALF_STEP).view(torch.float32)).amax(-1)
    lowest = (bits.sub_(_HALF_STEP).view(torch.float32) / counts.clamp_(min=1)).amax(-1)
    return (lowest + highest) / 2


def _exact(values: torch.Tensor, numbers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Whether each value [blocks, 32] is bf16(scale [blocks] * number), for all of a block, [blocks]."""
    made = (numbers * scales.float()[:, None]).to(torch.bfloat16).float()
    return made.sub_(values).abs_().amax(-1) <= 0
