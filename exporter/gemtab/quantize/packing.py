"""Packing f32 tensors into planes, and back. Rows are independent: a part of them packs to a part of the planes."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad

from gemtab.bundle.manifest import WeightFormat
from gemtab.errors import CheckpointError
from gemtab.quantize.formats import BLOCK, PlaneName, padded_columns
from gemtab.quantize.grid import on_grid

Planes = dict[PlaneName, npt.NDArray[np.generic]]

# Values packed at a time, so that the temporaries of a large tensor stay small (64 MB each).
_CHUNK = 1 << 24


def pack(tensor: torch.Tensor, weight_format: WeightFormat) -> Planes:
    """The planes of a tensor [..., columns] f32, finite, in exactly `weight_format`.

    Raises CheckpointError where a value or scale does not fit f16.
    """
    if weight_format == "f32":
        return {"values": tensor.float().contiguous().numpy()}
    if weight_format == "f16":
        return {"values": _to_f16(tensor).numpy()}
    columns = tensor.shape[-1]
    blocks = padded_columns(columns) // BLOCK
    rows = tensor.reshape(-1, columns)
    codes = torch.empty(len(rows), blocks, BLOCK if weight_format == "q8" else BLOCK // 2, dtype=torch.uint8)
    scales = torch.empty(len(rows), blocks, dtype=torch.float16)
    step = max(1, _CHUNK // (blocks * BLOCK))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        codes[part], scales[part] = _quantise(rows[part], weight_format)
    lead = tensor.shape[:-1]
    return {"codes": codes.reshape(*lead, blocks, -1).numpy(), "scales": scales.reshape(*lead, blocks).numpy()}


def unpack(
    planes: Mapping[PlaneName, npt.NDArray[np.generic]], weight_format: WeightFormat, shape: tuple[int, ...]
) -> torch.Tensor:
    """The f32 tensor of `shape` that the planes stand for."""
    if weight_format == "f32" or weight_format == "f16":
        return torch.from_numpy(planes["values"]).float().reshape(shape)
    codes = torch.from_numpy(planes["codes"])
    if weight_format == "q4":
        codes = torch.stack([codes & 15, codes >> 4], dim=-1).flatten(-2)
    scales = torch.from_numpy(planes["scales"]).float()
    blocks = (codes.float() - zero_point(weight_format)) * scales[..., None]
    return blocks.flatten(-2)[..., : shape[-1]].reshape(shape)


def zero_point(weight_format: WeightFormat) -> int:
    """The code of 0 in q8 and q4."""
    return {"q8": 128, "q4": 8}[weight_format]


def _quantise(rows: torch.Tensor, weight_format: WeightFormat) -> tuple[torch.Tensor, torch.Tensor]:
    """rows [n, columns] -> codes [n, blocks, bytes] u8 and scales [n, blocks] f16.

    The value of largest magnitude, with its sign, becomes code 0, the end of the range that reaches one further
    (as ONNX Runtime and GGUF's Q4_0 do it). Codes are taken against the scale as f16 rounds it, since that is the
    scale they will be multiplied by. Weights that were trained for Q4_0 keep the scales that they were trained with.
    """
    zero = zero_point(weight_format)
    columns = padded_columns(rows.shape[1])
    values = pad(rows.float(), (0, columns - rows.shape[1])).reshape(-1, columns // BLOCK, BLOCK)
    low, high = torch.aminmax(values, dim=-1)
    scales = _to_f16(torch.where(high > -low, high, low) / -zero)
    inverse = torch.where(scales == 0, 0.0, 1.0 / scales.float())
    codes = (values * inverse[..., None]).add_(zero + 0.5).floor_().clamp_(0, 2 * zero - 1).to(torch.uint8)
    if weight_format == "q4":
        scales = on_grid(values, codes, scales)
        codes = codes[..., 0::2] | (codes[..., 1::2] << 4)
    return codes, scales


def _to_f16(tensor: torch.Tensor) -> torch.Tensor:
    halves = tensor.to(torch.float16)
    if halves.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(halves))).all()):
        largest = float(tensor.abs().max())
        raise CheckpointError(
            f"A weight or its scale is {largest:g}, and f16 ends at 65504. Export with --weights f32."
        )
    return halves.contiguous()
