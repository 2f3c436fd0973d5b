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

_MAJORITY = 0.9
"""Of blocks: bf16 makes of a scale with all bits of f16 one that does as well in less than half of them."""

_HALF = 0.5
"""Of blocks: where so many are near to a grid, looking for those that are costs more than it spares."""

_FEW = 6
"""Values of a block that are looked at first: hardly any six lie near to one of the eight grids by chance."""

_HALF_STEP = 0x8000
"""Half of the distance to the next bf16, in the bits of an f32."""

_NO_VALUE = 2.0**-100
"""Stands for 0 in bounds: its bits can be stepped down from, and it bounds no scale of f16."""

_LARGEST = (-8, 7, 6, 5, 4, 3, 2, 1)
"""Numbers that the largest value of a block may stand for, in the order in which they are tried."""


def on_grid(values: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor, largest: torch.Tensor) -> int:
    """Puts right, in place, codes and scales of blocks that lie on a grid, so that bf16(scale * (code - 8)) is each
    stored value; how many blocks those are, of zeros included.

    values: [..., 32] f32; codes: [..., 32] i16, 8 standing for 0; scales: [...] f16; largest: [...] f32, a block's
    value of largest magnitude, which codes and scales take for -8. Other blocks keep theirs, and so do those of zeros.
    """
    blocks, spans = values.view(-1, values.shape[-1]), largest.reshape(-1)
    exact = len(spans) - int(spans.count_nonzero())
    # Where there is no grid, hardly a block passes for one by its first values: none of a sample, and the rest need not
    # be looked at.
    apart = len(spans) // _SAMPLED | 1  # odd, so as not to meet the same columns in every row
    sample = blocks[::apart, :_FEW].T.contiguous()[:, None]  # [values, 1, blocks]
    shares = _near(sample, spans[::apart] / torch.tensor(_LARGEST)[:, None]).float().mean(-1).tolist()
    if not any(shares):
        return exact
    flat_codes, flat_scales = codes.view(-1, codes.shape[-1]), scales.view(-1)
    waiting = spans != 0
    index = waiting.nonzero()[:, 0] if exact else None  # none for all, which need not be picked out then
    for number, share in zip(_LARGEST, shares, strict=True):
        left = spans if index is None else spans[index]
        guesses = left / number if number < 0 else left.abs() / number
        if share < _HALF:
            firsts = blocks[:, :_FEW] if index is None else blocks[:, :_FEW].index_select(0, index)
            near = _near(firsts.T.contiguous(), guesses).nonzero()[:, 0]
            if not len(near):
                continue
            index, guesses = near if index is None else index[near], guesses[near]
        numbers, found = _recovered(blocks if index is None else blocks.index_select(0, index), guesses, number)
        fits = found.nonzero()[:, 0]
        at = fits if index is None else index[fits]
        flat_scales[at] = found[fits]
        if number != -8:  # the given codes are those for -8
            flat_codes.index_copy_(0, at, numbers.index_select(0, fits).add_(8).to(torch.int16))
        exact += len(fits)
        index = waiting.index_fill_(0, at, False).nonzero()[:, 0]
        if not len(index):
            break
    return exact


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
    # What all values come to, by all numbers: mostly that is the scale, as their roundings cancel each other out.
    ones = torch.ones(values.shape[-1])
    nearest = ((values.abs() @ ones) / (numbers.abs() @ ones)).copysign_(guesses).to(torch.float16)
    # Where scales had no more bits than bf16, the guesses are those scales, as a sample of them tells.
    sample = slice(None, None, len(values) // _SAMPLED | 1)
    as_guessed = _exact(values[sample], numbers[sample], guesses[sample].to(torch.float16))
    candidate = guesses.to(torch.float16) if as_guessed.float().mean() > _MAJORITY else nearest
    found = torch.where(_exact(values, numbers, candidate), candidate, 0.0)
    missed = (found == 0).nonzero()[:, 0]
    if len(missed):
        values, numbers_left = values.index_select(0, missed), numbers.index_select(0, missed)
        middle = _middle(values, numbers_left).copysign_(guesses[missed]).to(torch.float16)
        # Neighbours: where its products are ties that fall to the other side, or the bounds lie within a step of f16.
        for step in (0, -1, 1):
            neighbour = (middle.view(torch.int16) + step).view(torch.float16)
            better = torch.where(_exact(values, numbers_left, neighbour), neighbour, 0.0)
            found[missed] = better
            rest = (better == 0).nonzero()[:, 0]
            if not len(rest):
                break
            missed, middle = missed[rest], middle[rest]
            values, numbers_left = values.index_select(0, rest), numbers_left.index_select(0, rest)
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
