"""Recovers the 4-bit grid of weights that were trained for Q4_0 and saved unquantised.

Such a weight is bf16(scale * number), with an f16 scale per block and an integer number in -8 … 7. The rounding to bf16
hides the last bits of the scale: the block's largest value gives eight of its eleven bits, and another scale would be
another model. The other bits follow from all values of the block: each value bounds the scale.

The number of the largest value is unknown. llama.cpp's quantiser chooses the scale such that it is -8, but training may
clip otherwise, and a block need not use the whole range. So all numbers are tried: -8 first, then 7 to 1. Below 8, the
signs of scale and numbers are free, and the scale is chosen positive. Several numbers may fit, e.g. 6 instead of 3 with
numbers doubled and the scale halved, which is the same model.
"""

import torch

_NEAR = 1.01 * 2.0**-7
"""Largest relative distance of a rounded value from the grid of the block's largest value: both are rounded to eight
bits, and f32 adds a little."""

_SAMPLED = 256
"""Size of a sample of blocks, spread over the weight."""

_MAJORITY = 0.9
"""Share of sampled blocks that proves that scales have only the bits of bf16. Scales with all bits of f16, rounded to
bf16, fit less than half of the blocks."""

_HALF = 0.5
"""Share of blocks near a grid, from which on it is faster to skip the search for these blocks."""

_FEW = 6
"""Values of a block that are compared first: six values are rarely near one of the eight grids by chance."""

_HALF_STEP = 0x8000
"""Half of the distance between two bf16, in the bits of an f32."""

_NO_VALUE = 2.0**-100
"""Replaces 0 in bounds: its bits can be decreased, and it bounds no f16 scale."""

_LARGEST = (-8, 7, 6, 5, 4, 3, 2, 1)
"""Numbers of the largest value of a block, in the order in which they are tried."""


def on_grid(values: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor, largest: torch.Tensor) -> int:
    """Correct codes and scales, in place, of blocks on a grid, so that bf16(scale * (code - 8)) equals each value.

    values: [..., 32] f32. codes: [..., 32] i16; code 8 is 0. scales: [...] f16. largest: [...] f32, a block's value of
    largest magnitude, to which codes and scales give the number -8. Blocks on no grid keep codes and scales.

    Returns the number of blocks on a grid, with blocks of zeros.
    """
    blocks, spans = values.view(-1, values.shape[-1]), largest.reshape(-1)
    exact = len(spans) - int(spans.count_nonzero())
    # Without a grid, the first values of hardly any block look like one. If no block of a sample does, none is on a
    # grid.
    apart = len(spans) // _SAMPLED | 1  # odd: samples other columns in each row
    sample = blocks[::apart, :_FEW].T.contiguous()[:, None]  # [values, 1, blocks]
    shares = _near(sample, spans[::apart] / torch.tensor(_LARGEST)[:, None]).float().mean(-1).tolist()
    if not any(shares):
        return exact
    flat_codes, flat_scales = codes.view(-1, codes.shape[-1]), scales.view(-1)
    waiting = spans != 0
    index = waiting.nonzero()[:, 0] if exact else None  # None: all blocks, without a gather
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


# Below, a condition on all values of a block is computed as a maximum that must not exceed 0: in torch, comparisons and
# `all` along an axis are ten times as slow.


def _near(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Whether all n values [n, ...] of a block are near multiples of its scale [...]."""
    numbers = (values / scales).round_()
    distance = numbers.mul_(scales).sub_(values).abs_()
    return distance.sub_(values.abs(), alpha=_NEAR).amax(0) <= 0


def _recovered(values: torch.Tensor, guesses: torch.Tensor, largest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return numbers [blocks, 32] f32 and scales [blocks] f16 such that bf16(scale * number) equals the values [blocks,
    32].

    The scale is 0 for blocks without a solution. guesses: [blocks] f32, scales that are right to eight bits if the
    largest value has the number `largest`.
    """
    numbers = (values * (1 / guesses)[:, None]).round_()
    if largest == -8:
        numbers.clamp_(max=7)  # a block with both 8 and -8 then fails `_exact`
    # sum(|values|) / sum(|numbers|) is mostly the scale, since the values' rounding errors cancel.
    ones = torch.ones(values.shape[-1])
    nearest = ((values.abs() @ ones) / (numbers.abs() @ ones)).copysign_(guesses).to(torch.float16)
    # If a sample shows that scales have only the bits of bf16, the guesses are the scales.
    sample = slice(None, None, len(values) // _SAMPLED | 1)
    as_guessed = _exact(values[sample], numbers[sample], guesses[sample].to(torch.float16))
    candidate = guesses.to(torch.float16) if as_guessed.float().mean() > _MAJORITY else nearest
    found = torch.where(_exact(values, numbers, candidate), candidate, 0.0)
    missed = (found == 0).nonzero()[:, 0]
    if len(missed):
        values, numbers_left = values.index_select(0, missed), numbers.index_select(0, missed)
        middle = _middle(values, numbers_left).copysign_(guesses[missed]).to(torch.float16)
        # Neighbours in f16: if products are ties that round the other way, or the bounds are within one step.
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
    """Return the magnitude of a block's scale: the middle of the interval that its values leave.

    A value n * scale that was rounded from between a and b bounds the scale to a / n … b / n. A value of 0 has no
    bounds.
    """
    counts = numbers.abs()
    bits = values.abs().clamp_(min=_NO_VALUE).view(torch.int32)
    # The least b / n, as 1 / max(n / b), which needs no exception for n = 0.
    highest = 1 / (counts / (bits + _HALF_STEP).view(torch.float32)).amax(-1)
    lowest = (bits.sub_(_HALF_STEP).view(torch.float32) / counts.clamp_(min=1)).amax(-1)
    return (lowest + highest) / 2


def _exact(values: torch.Tensor, numbers: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Whether all values [blocks, 32] of a block equal bf16(scale [blocks] * number): [blocks] bool."""
    made = (numbers * scales.float()[:, None]).to(torch.bfloat16).float()
    return made.sub_(values).abs_().amax(-1) <= 0
