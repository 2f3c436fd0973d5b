"""Random values of a tensor, as fast as a disk takes them."""

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
"""Values drawn at a time."""

_DRAWS = 1 << 16
"""Each value is picked by 16 random bits."""

_SHARPNESS = 2.0
"""The standard deviation of attention's scores, whose scale is 1: neither flat nor needle-sharp. That of random q and k
is the product of their norms' weights and the root of the head's size."""

_RULES: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("layer_scalar",), 0.9, 0.05),
    (("per_expert_scale",), 1.0, 0.1),
    (("input_min", "output_min"), -8.0, 0.5),
    (("input_max", "output_max"), 8.0, 0.5),
    (("std_scale",), 0.1, 0.02),
    (("per_dim_scale", "bias", "std_bias"), 0.0, 0.5),
    # The last norm spreads the logits.
    (("language_model.norm.weight",), 3.0, 0.5),
    # The router's scores differ enough to choose.
    (("router.proj.weight",), 0.0, 1.5),
    # Activations reach 127 times these: 15 on both sides of the head and of what reads the residual or is gated by it,
    # 5 where a norm came before, and few are cut off.
    (("lm_head.input_activation_scale", "lm_head.output_activation_scale"), 0.12, 0.005),
    (("per_layer_input_gate.input_activation_scale", "per_layer_input_gate.output_activation_scale"), 0.12, 0.005),
    (("per_layer_projection.input_activation_scale", "per_layer_projection.output_activation_scale"), 0.12, 0.005),
    (("activation_scale",), 0.04, 0.002),
)
"""Mean and standard deviation by the end of a tensor's name."""

Dtype = Literal["BF16", "F32", "U8", "I8"]
"""As safetensors calls them."""

_WIDTHS: dict[Dtype, int] = {"BF16": 2, "F32": 4, "U8": 1, "I8": 1}


@dataclass(frozen=True)
class Drawn:
    """A tensor that is to be drawn: dtype and shape as they are stored, mean and standard deviation of its values; bits
    of its codes, of which a byte holds as many as it can, 0 where it has none."""

    dtype: Dtype
    shape: tuple[int, ...]
    mean: float = 0.0
    deviation: float = 0.0
    bits: int = 0

    @property
    def width(self) -> int:
        """Bytes of a number."""
        return _WIDTHS[self.dtype]

    @property
    def bytes(self) -> int:
        """Bytes of all."""
        return self.width * prod(self.shape)


def plain(name: str, shape: tuple[int, ...]) -> Drawn:
    """A tensor in bf16, of values as they suit its name."""
    return Drawn("BF16", shape, *distribution(name, shape))


def distribution(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and standard deviation of a tensor: those with which activations keep their size from layer to layer."""
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
    """The tensor's values as they are stored (bf16 as u16), in parts, row by row. They depend on the name and on what
    is to be drawn, and so are always the same.

    Each value, or byte of codes, is one of 65,536 quantiles of its distribution, picked by 16 random bits.
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
    """What 16 random bits choose from."""
    if tensor.bits:
        return _bytes_of_codes(tensor.bits)
    values = _quantiles(_DRAWS) * tensor.deviation + tensor.mean
    if tensor.dtype == "F32":
        return values.float().numpy()
    return values.to(torch.bfloat16).view(torch.uint16).numpy()


def _quantiles(count: int) -> torch.Tensor:
    """So many values of a standard normal distribution, all as likely."""
    values: torch.Tensor = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    return values


def _code_values(bits: int) -> torch.Tensor:
    """What codes stand for, each as often as it is to come: nearly normal, so wide that all codes come, and of mean 0,
    as sums over thousands of columns would magnify any other. As there is one code more below 0, one value moves up."""
    half = 1 << bits >> 1
    values = (_quantiles(1 << 2 * bits) * half / 2.2).round().clamp(1 - half, half - 1)
    values[0] -= 1
    values[int((values == 0).nonzero()[-1])] += 1
    return values


@cache
def code_deviation(bits: int) -> float:
    """The standard deviation of what codes stand for, in units of their scale."""
    return float(_code_values(bits).std(correction=0))


def _bytes_of_codes(bits: int) -> npt.NDArray[Any]:
    """Codes of 8 bits as signed bytes; of fewer, unsigned, as many as a byte holds, the earlier in the lower bits."""
    values = _code_values(bits)
    if bits == 8:
        return values.to(torch.int8).numpy()
    codes, picks = (values + (1 << bits >> 1)).long(), torch.arange(_DRAWS)
    packed = torch.zeros_like(picks)
    for index in range(8 // bits):
        packed |= codes[(picks >> 2 * bits * index) % len(codes)] << bits * index
    return packed.to(torch.uint8).numpy()
