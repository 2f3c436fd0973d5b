"""Weights as a training for Q4_0 leaves them where they are saved unquantised."""

import torch
from torch.nn.functional import pad
from transformers import PreTrainedModel

from gemtab.quantize import BLOCK, Planes, unpack


def gridded(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The nearest such weights to `values` [rows, columns]: bf16 values in f32, and what they are made of: scales
    [rows, blocks] f16 and numbers from -8 to 7 [rows, blocks, 32], a row's last block filled up with zeros."""
    rows, columns = values.shape
    raw = pad(values.float(), (0, -columns % BLOCK)).reshape(rows, -1, BLOCK)
    largest = raw.gather(-1, raw.abs().argmax(-1, keepdim=True))
    scales = (largest / -8).to(torch.float16)
    numbers = torch.where(scales == 0, 0.0, (raw / scales.float()).round().clamp(-8, 7))
    made = (scales.float() * numbers).to(torch.bfloat16).float()
    return made.reshape(rows, -1)[:, :columns], scales[..., 0], numbers


def of_codes(shape: tuple[int, int], low: int, high: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights whose numbers are uniform in low to high, so that blocks reach differently far: as `gridded` returns
    them, for `shape` [rows, columns] with columns a multiple of 32; scales are positive, with all bits of f16."""
    rows, columns = shape
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(low, high + 1, (rows, columns // BLOCK, BLOCK), generator=generator).float()
    scales = (2 ** (-12 + 10 * torch.rand(rows, columns // BLOCK, generator=generator))).to(torch.float16)
    made = (scales.float()[..., None] * numbers).to(torch.bfloat16).float()
    return made.reshape(rows, columns), scales, numbers


def exact_blocks(values: torch.Tensor, planes: Planes) -> int:
    """How many blocks of `values` [..., columns] are what q4's planes say in bf16, value for value."""
    stored = unpack(planes, "q4", tuple(values.shape)).to(torch.bfloat16).float()
    equal = pad(values == stored, (0, -values.shape[-1] % BLOCK), value=True)
    return int(equal.reshape(-1, BLOCK).all(-1).sum())


@torch.no_grad()
def to_grid(model: PreTrainedModel) -> None:
    """Brings every matrix of the model to such values, in place."""
    for tensor in model.state_dict(keep_vars=True).values():
        if tensor.dim() == 2:
            tensor.copy_(gridded(tensor)[0])
