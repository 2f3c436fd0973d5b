"""Draw random values of tensors at the speed of a disk."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

_CHUNK = 1 << 20
"""Values drawn at once."""

_DRAWS = 1 << 16
"""Number of different values: 16 random bits choose each value."""

_SHARPNESS = 2.0
"""Standard deviation of attention scores (their scale is 1), neither flat nor extremely sharp. For random q and k it is
the product of their norms' weights and the root of the head size."""

_RULES: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("layer_scalar",), 0.9, 0.05),
    (("per_expert_scale",), 1.0, 0.1),
    (("input_min", "output_min"), -8.0, 0.5),
    (("input_max", "output_max"), 8.0, 0.5),
    (("std_scale",), 0.1, 0.02),
    (("per_dim_scale", "bias", "std_bias"), 0.0, 0.5),
    # The last norm spreads the logits.
    (("language_model.norm.weight",), 3.0, 0.5),
    # Router scores differ enough for a clear choice.
    (("router.proj.weight",), 0.0, 1.5),
    # Activations reach 127 times these: 15 at the head and at gates of the residual, 5 after a norm. Few are clipped.
    (("lm_head.input_activation_scale", "lm_head.output_activation_scale"), 0.12, 0.005),
    (("per_layer_input_gate.input_activation_scale", "per_layer_input_gate.output_activation_scale"), 0.12, 0.005),
    (("per_layer_projection.input_activation_scale", "per_layer_projection.output_activation_scale"), 0.12, 0.005),
    (("activation_scale",), 0.04, 0.002),
)
"""Mean and standard deviation by the ending of a tensor's name."""

Dtype = Literal["BF16", "F32", "U8", "I8"]
"""Names of dtypes in safetensors."""

_WIDTHS: dict[Dtype, int] = {"BF16": 2, "F32": 4, "U8": 1, "I8": 1}


@dataclass(frozen=True)
class Drawn:
    """A tensor to draw. dtype, shape: as stored. mean, deviation: of its values. bits: bits of packed integers (as many
    in a byte as fit); 0 for plain values."""

    dtype: Dtype
    shape: tuple[int, ...]
    mean: float = 0.0
    deviation: float = 0.0
    bits: int = 0

    @property
    def width(self) -> int:
        """Bytes of one number."""
        return _WIDTHS[self.dtype]

    @property
    def bytes(self) -> int:
        """Bytes of the tensor."""
        return self.width * prod(self.shape)


def plain(name: str, shape: tuple[int, ...]) -> Drawn:
    """Return a bf16 tensor with the distribution for its name."""
    return Drawn("BF16", shape, *distribution(name, shape))


def distribution(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return mean and standard deviation of a tensor, so that activations keep their size from layer to layer."""
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        return _SHARPNESS**0.5 * shape[0] ** -0.25, 0.2 * shape[0] ** -0.25
    for endings, mean, deviation in _RULES:
        if name.endswith(endings):
            return mean, deviation
    if len(shape) <= 1:
        return 1.0, 0.2
    fan_in = prod(shape[1:]) if "conv" in name else shape[-1]
    return 0.0, fan_in**-0.5


def draw(name: str, tensor: Drawn) -> Iterator[npt.NDArray[Any]]:
    """Yield the tensor's values as stored (bf16 as u16), in chunks, row by row. The same name and tensor always give
    the same values.

    Each value, or byte of packed integers, is one of 65,536 quantiles of its distribution, chosen by 16 random bits.
    """
    values = _choices(tensor)
    generator = np.random.SFC64(zlib.crc32(name.encode()))
    left = prod(tensor.shape)
    while left:
        count = min(left, _CHUNK)
        bits = generator.random_raw(-(-count // 4)).view(np.uint16)
        yield values[bits[:count]]
        left -= count


def _choices(tensor: Drawn) -> npt.NDArray[Any]:
    """Return the 65,536 values from which 16 random bits choose."""
    if tensor.bits:
        return _bytes_of_codes(tensor.bits)
    values = _quantiles(_DRAWS) * tensor.deviation + tensor.mean
    if tensor.dtype == "F32":
        return values.float().numpy()
    return values.to(torch.bfloat16).view(torch.uint16).numpy()


def _quantiles(count: int) -> torch.Tensor:
    """Return `count` equally likely values of a standard normal distribution."""
    values: torch.Tensor = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    return values


def _code_values(bits: int) -> torch.Tensor:
    """Return integers, each as often as it should occur: nearly normal, wide enough that all occur, and of mean 0,
    since sums over thousands of columns magnify any mean. There is one more integer below 0, so one value moves up."""
    half = 1 << bits >> 1
    values = (_quantiles(1 << 2 * bits) * half / 2.2).round().clamp(1 - half, half - 1)
    values[0] -= 1
    values[int((values == 0).nonzero()[-1])] += 1
    return values


@cache
def code_deviation(bits: int) -> float:
    """Return the standard deviation of the integers, in units of their scale."""
    return float(_code_values(bits).std(correction=0))


def _bytes_of_codes(bits: int) -> npt.NDArray[Any]:
    """Return integers of 8 bits as signed bytes; fewer bits as unsigned codes, packed with earlier codes in lower
    bits."""
    values = _code_values(bits)
    if bits == 8:
        return values.to(torch.int8).numpy()
    codes, picks = (values + (1 << bits >> 1)).long(), torch.arange(_DRAWS)
    packed = torch.zeros_like(picks)
    for index in range(8 // bits):
        packed |= codes[(picks >> 2 * bits * index) % len(codes)] << bits * index
    return packed.to(torch.uint8).numpy()
