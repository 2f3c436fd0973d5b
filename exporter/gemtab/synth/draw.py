"""Random values of a tensor, as fast as a disk takes them."""

import zlib
from collections.abc import Iterator
from math import prod

import numpy as np
import numpy.typing as npt
import torch

_CHUNK = 1 << 20
"""Values drawn at a time."""

_CODES = 1 << 16

_RULES: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("layer_scalar",), 0.9, 0.05),
    (("per_expert_scale",), 1.0, 0.1),
    # Attention is neither flat nor needle-sharp, as its scale is 1.
    (("q_norm.weight", "k_norm.weight"), 0.6, 0.1),
    (("input_min", "output_min"), -8.0, 0.5),
    (("input_max", "output_max"), 8.0, 0.5),
    (("std_scale",), 0.1, 0.02),
    (("per_dim_scale", "bias", "std_bias"), 0.0, 0.5),
    # The last norm spreads the logits.
    (("language_model.norm.weight",), 3.0, 0.5),
    # The router's scores differ enough to choose.
    (("router.proj.weight",), 0.0, 1.5),
)
"""Mean and standard deviation by the end of a tensor's name."""


def distribution(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and standard deviation of a tensor: those with which activations keep their size from layer to layer."""
    for endings, mean, deviation in _RULES:
        if name.endswith(endings):
            return mean, deviation
    if len(shape) <= 1:
        return 1.0, 0.2
    fan_in = prod(shape[1:]) if "conv" in name else shape[-1]
    return 0.0, fan_in**-0.5


def draw(name: str, shape: tuple[int, ...]) -> Iterator[npt.NDArray[np.uint16]]:
    """The tensor's values in bf16, in parts, row by row. They depend on the name alone, and so are always the same.

    Each value is one of 65,536 quantiles of its normal distribution, picked by 16 random bits.
    """
    mean, deviation = distribution(name, shape)
    quantiles = torch.special.ndtri((torch.arange(_CODES, dtype=torch.float64) + 0.5) / _CODES)
    values = (quantiles * deviation + mean).to(torch.bfloat16).view(torch.uint16).numpy()
    generator = np.random.SFC64(zlib.crc32(name.encode()))
    left = prod(shape)
    while left:
        count = min(left, _CHUNK)
        bits = generator.random_raw(-(-count // 4)).view(np.uint16)
        yield values[bits[:count]]
        left -= count
