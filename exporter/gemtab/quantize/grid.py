"""Recover the 4-bit grid of weights that were trained for Q4_0 and saved unquantized.

Such a weight is an f16 scale times an integer from -8 to 7, rounded to bf16. The rounding hides the scale's last bits:
a block's largest value gives eight of eleven, and another scale would be another model. Here the missing bits are
recovered from the bounds that each value of the block sets.

The integer of the largest value is unknown: it is -8 where llama.cpp's quantizer chose the scale, but training may clip
differently, and a block need not use its whole range. So -8 is tried first, then 7 to 1; below 8, the signs of scale
and integers are arbitrary, and the scale is taken as positive. Several integers may fit: 6 where 3 does, with doubled
integers and half the scale, which is the same model.
"""

import torch

_NEAR = 1.01 * 2.0**-7
"""Maximum relative distance of a rounded value from the grid of the block's largest value: both are rounded to eight
bits, and f32 adds a little."""

_SAMPLED = 256
"""Blocks in the first sample, from the whole weight."""

_MOST = 0.9
"""Share of blocks above which scales are taken to have no more bits than bf16: of f16 scales, less than half fit."""

_MOSTLY = 0.5
"""Share of blocks near a grid above which searching for them costs more than it saves."""

_FEW = 6
"""Values of a block in the first test: six values are rarely near one of the eight grids by chance."""

_HALF_STEP = 0x8000
"""Half the distance to the next bf16, in the bits of an f32."""

_NO_VALUE = 2.0**-100
"""Replaces 0 in bounds: its bits can be decremented, and it bounds no f16 scale."""

_LARGEST = (-8, 7, 6, 5, 4, 3, 2, 1)
"""Integers that a block's largest value may represent, in the order of trial."""


def on_grid(values: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor, largest: torch.Tensor) -> int:
    """Correct, in place, codes and scales of blocks on a grid, so that bf16(scale * (code - 8)) is each stored value.
    Return the number of such blocks, blocks of zeros included.

    values: [..., 32] f32. codes: [..., 32] i16, where 8 is the value 0. scales: [...] f16. largest: [...] f32, a
    block's value of largest magnitude, which codes and scales represent by -8. Other blocks, and blocks of zeros, are
    unchanged.
    """
    blocks, spans = values.view(-1, values.shape[-1]), largest.reshape(-1)
    exact = len(spans) - int(spans.count_nonzero())
    # Without a grid, hardly any block passes the test of its first values; where none of a sample does, the rest is
    # skipped.
    apart = len(spans) // _SAMPLED | 1  # odd, so that samples are not in the same columns of every row
    sample = blocks[::apart, :_FEW].T.contiguous()[:, None]  # [values, 1, blocks]
    shares = _near(sample, spans[::apart] / torch.tensor(_LARGEST)[:, None]).float().mean(-1).tolist()
    if not any(shares):
        return exact
    flat_codes, flat_scales = codes.view(-1, codes.shape[-1]), scales.view(-1)
    waiting = spans != 0
    index = waiting.nonzero()[:, 0] if exact else None  # None for all blocks
    for number, share in zip(_LARGEST, shares, strict=True):
        left = spans if index is None else spans[index]
        guesses = left / number if number < 0 else left.abs() / number
        if share < _MOSTLY:
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


# Below, a condition on all values of a block is tested on the maximum of numbers that should not exceed 0: torch
# reduces # booleans at a tenth of that speed.


def _near(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Whether all values [n, ...] of a block are near multiples of its scale [...]."""
    numbers = (values / scales).round_()
    distance = numbers.mul_(scales).sub_(values).abs_()
    return distance.sub_(values.abs(), alpha=_NEAR).amax(0) <= 0


def _recovered(values: torch.Tensor, guesses: torch.Tensor, largest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return integers [blocks, 32] f32 and scales [blocks] f16 that give the values [blocks, 32] exactly; the scale is
    0 where none does. guesses: [blocks] f32 scales, right to eight bits if the largest value represents `largest`."""
    numbers = (values * (1 / guesses)[:, None]).round_()
    if largest == -8:
        numbers.clamp_(max=7)  # a block with largest values of both signs is then rejected
    # The sum of values divided by the sum of integers is mostly the scale: roundings cancel.
    ones = torch.ones(values.shape[-1])
    nearest = ((values.abs() @ ones) / (numbers.abs() @ ones)).copysign_(guesses).to(torch.float16)
    # Where scales have no more bits than bf16, a sample shows that the guesses are the scales.
    sample = slice(None, None, len(values) // _SAMPLED | 1)
    as_guessed = _exact(values[sample], numbers[sample], guesses[sample].to(torch.float16))
    candidate = guesses.to(torch.float16) if as_guessed.float().mean() > _MOST else nearest
    found = torch.where(_exact(values, numbers, candidate), candidate, 0.0)
    missed = (found == 0).nonzero()[:, 0]
    if len(missed):
        values, numbers_left = values.index_select(0, missed), numbers.index_select(0, missed)
        middle = _middle(values, numbers_left).copysign_(guesses[missed]).to(torch.float16)
        # Neighbours are needed where products are ties rounded the other way, or the bounds are within a step of f16.
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
    """Return the middle of the bounds on the magnitude of a block's scale. A value that was rounded from n times the
    scale, between a and b, bounds the scale by a / n and b / n; a 0 bounds nothing."""
    counts = numbers.abs()
    bits = values.abs().clamp_(min=_NO_VALUE).view(torch.int32)
    # The upper bound is 1 / max(n / b), where 0 needs no exception.
    highest = 1 / (counts / (bits + _HALF_STEP).view(torch.float32)).amax(-1)
    lowest = (bits.sub_(_HALF_STEP).view(torch.float32) / counts.clamp_(min=1)).amax(-1)
    return (lowest + highest) / 2


def _exact(values: torch.Tensor, numbers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Whether all values [blocks, 32] of a block are bf16(scale [blocks] * integer): [blocks] bool."""
    made = (numbers * scales.float()[:, None]).to(torch.bfloat16).float()
    return made.sub_(values).abs_().amax(-1) <= 0
