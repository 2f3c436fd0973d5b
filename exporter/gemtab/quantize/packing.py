"""Packs f32 tensors into planes, and unpacks them. Rows are independent: a slice of rows packs to a slice of planes."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad

from gemtab.errors import CheckpointError
from gemtab.quantize.formats import BLOCK, CODE_BITS, PlainFormat, PlaneName, StorageFormat, padded_columns
from gemtab.quantize.grid import on_grid

Planes = dict[PlaneName, npt.NDArray[np.generic]]

# Values packed at a time: the data of a step (2 MB) stay in the CPU's cache.
_CHUNK = 1 << 19


def pack(tensor: torch.Tensor, weight_format: PlainFormat | Literal["i32"]) -> Planes:
    """Return the planes of a finite tensor [..., columns] f32 in `weight_format`. i32 is for integers.

    Raises CheckpointError if a value or scale does not fit f16.
    """
    return pack_counted(tensor, weight_format)[0]


def pack_counted(tensor: torch.Tensor, weight_format: PlainFormat | Literal["i32"]) -> tuple[Planes, int]:
    """Return what `pack` returns, and the number of q4 blocks that keep all values exactly in bf16."""
    if weight_format == "f32":
        return {"values": tensor.float().contiguous().numpy()}, 0
    if weight_format == "i32":
        return {"values": tensor.to(torch.int32).contiguous().numpy()}, 0
    if weight_format == "f16":
        return {"values": _to_f16(tensor).numpy()}, 0
    columns = tensor.shape[-1]
    blocks = padded_columns(columns) // BLOCK
    rows = tensor.reshape(-1, columns)
    codes = torch.empty(len(rows), blocks, BLOCK if weight_format == "q8" else BLOCK // 2, dtype=torch.uint8)
    scales = torch.empty(len(rows), blocks, dtype=torch.float16)
    step = max(1, _CHUNK // (blocks * BLOCK))
    exact = 0
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        codes[part], scales[part], kept = _quantise(rows[part], weight_format)
        exact += kept
    lead = tensor.shape[:-1]
    return {"codes": codes.reshape(*lead, blocks, -1).numpy(), "scales": scales.reshape(*lead, blocks).numpy()}, exact


def unpack(
    planes: Mapping[PlaneName, npt.NDArray[np.generic]], weight_format: StorageFormat, shape: tuple[int, ...]
) -> torch.Tensor:
    """Return the f32 tensor of `shape` that the planes represent."""
    if weight_format in ("f32", "f16", "i32"):
        return torch.from_numpy(planes["values"]).float().reshape(shape)
    codes = unpack_codes(torch.from_numpy(planes["codes"]), CODE_BITS[weight_format])
    scales = torch.from_numpy(planes["scales"]).float()
    numbers = codes.float() - zero_point(weight_format)
    if weight_format == "q8" or weight_format == "q4":
        return (numbers * scales[..., None]).flatten(-2)[..., : shape[-1]].reshape(shape)
    values = numbers.flatten(-2)[:, : shape[-1]].reshape(*scales.shape, -1)
    return (values * scales[..., None]).reshape(shape)


def unpack_codes(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Unpack bytes [..., bytes] u8 to codes [..., 8 / bits * bytes] u8, the low bits first."""
    mask = (1 << bits) - 1
    return torch.stack([packed >> shift & mask for shift in range(0, 8, bits)], dim=-1).flatten(-2)


def pack_codes(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Pack codes [rows, columns] u8 to [rows, blocks, bytes] u8, the low bits first. The last block is padded with the
    code of 0."""
    columns = codes.shape[-1]
    filled = pad(codes, (0, padded_columns(columns) - columns), value=1 << (bits - 1))
    return _joined(filled.reshape(len(codes), -1, BLOCK), bits)


def _joined(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Pack codes [..., n] u8 to [..., n * bits / 8], the earlier codes in the lower bits of a byte.

    The codes of a byte are read as one word, and shifted into its lowest byte.
    """
    count = 8 // bits
    if count == 1:
        return codes
    words = codes.contiguous().numpy().view({2: "<u2", 4: "<u4"}[count])
    joined = np.bitwise_or.reduce([words >> (index * (8 - bits)) for index in range(count)])
    return torch.from_numpy(joined.astype(np.uint8))


def zero_point(weight_format: StorageFormat) -> int:
    """Return the code of the value 0."""
    return 1 << (CODE_BITS[weight_format] - 1)


def _quantise(rows: torch.Tensor, weight_format: StorageFormat) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Quantise rows [n, columns]: codes [n, blocks, bytes] u8, scales [n, blocks] f16, number of exact q4 blocks.

    The value of largest magnitude gets code 0, as in ONNX Runtime and GGUF's Q4_0: the negative end of the range is one
    larger. Codes are computed with the scale as rounded to f16, since this is the scale that multiplies them. Weights
    that were trained for Q4_0 keep the codes and scales of their training.
    """
    zero = zero_point(weight_format)
    columns = padded_columns(rows.shape[1])
    values = rows.float()
    if columns > rows.shape[1]:
        values = pad(values, (0, columns - rows.shape[1]))
    values = values.reshape(-1, columns // BLOCK, BLOCK)
    low, high = values.amin(-1), values.amax(-1)  # four times as fast as torch.aminmax along an axis
    largest = torch.where(high > -low, high, low)
    scales = _to_f16(largest / -zero)
    inverse = torch.where(scales == 0, 0.0, 1.0 / scales.float())
    # i16: torch converts to and from i16 ten times as fast as u8.
    codes = (values * inverse[..., None]).add_(zero + 0.5).clamp_(0, 2 * zero - 1).to(torch.int16)
    if weight_format != "q4":
        return codes.to(torch.uint8), scales, 0
    exact = on_grid(values, codes, scales, largest)
    pairs = codes.numpy().view("<u4")
    return torch.from_numpy((pairs | pairs >> 12).astype(np.uint8)), scales, exact


def _to_f16(tensor: torch.Tensor) -> torch.Tensor:
    halves = tensor.to(torch.float16)
    if halves.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(halves))).all()):
        largest = float(tensor.abs().max())
        raise CheckpointError(
            f"A weight or its scale is {largest:g}, and the maximum of f16 is 65504. Export with --weights f32."
        )
    return halves.contiguous()
