"""Integer weights of a pre-quantized (QAT) checkpoint, with scales by row, as in transformers'
integrations/gemma_quant.py.

Codes of 2 and 4 bits are unsigned and packed, earlier columns in lower bits; codes of 8 bits are signed bytes. A bundle
stores them unchanged.
"""

import torch

from gemtab.checkpoint.tensors import Tensors
from gemtab.errors import CheckpointError
from gemtab.graph import Weight
from gemtab.quantize import BLOCK, Planes, pack_codes, unpack_codes

TABLE_CODES = "embedding_quantized"
"""Name of a table's integer weights, instead of `weight`."""

RANGE = "_activation_scale"
"""Ending of the names of activation scales."""


class CodedWeights:
    """Reads planes of weights with `bits`. Raises CheckpointError for a tensor that is missing or has another shape or
    dtype, and for scales that are not finite."""

    def __init__(self, checkpoint: Tensors) -> None:
        self._checkpoint = checkpoint

    def check(self, weight: Weight, names: list[str]) -> None:
        """Check names and shapes of the weight's sources. names: the sources' names in the checkpoint."""
        for name, rows, bits in zip(names, weight.parts, weight.source_bits, strict=True):
            codes, scales = _tensors(weight, name)
            columns = -(-weight.shape[1] * bits // 8)
            if self._checkpoint.shape(codes) != (rows, columns):
                found = list(self._checkpoint.shape(codes))
                raise self._wrong(codes, f"[{rows}, {columns}] for {bits} bits", found)
            found = list(self._checkpoint.shape(scales))
            if len(found) != 2 or found[0] != rows or weight.groups % found[1]:
                raise self._wrong(scales, f"[{rows}, {weight.groups}] or [{rows}, 1]", found)

    def planes(self, weight: Weight, names: list[str], start: int, stop: int) -> Planes:
        """Return the codes [rows, blocks, bytes] u8 and scales [rows, groups] f32 of rows start … stop - 1."""
        codes, scales, offset = [], [], 0
        for name, rows, bits in zip(names, weight.parts, weight.source_bits, strict=True):
            first, last = max(start - offset, 0), min(stop - offset, rows)
            if first < last:
                codes.append(self._codes(weight, name, bits, first, last))
                scales.append(self._scales(weight, name, first, last))
            offset += rows
        return {"codes": torch.cat(codes).numpy(), "scales": torch.cat(scales).numpy()}

    def _codes(self, weight: Weight, name: str, bits: int, first: int, last: int) -> torch.Tensor:
        tensor, _ = _tensors(weight, name)
        packed = self._checkpoint.read_rows(tensor, first, last)
        if packed.dtype != (torch.int8 if bits == 8 else torch.uint8):
            raise self._wrong(tensor, "I8" if bits == 8 else "U8", packed.dtype)
        if bits == 8:
            packed = packed.view(torch.uint8) ^ 0x80
        if bits == weight.bits and weight.shape[1] % BLOCK == 0:
            return packed.reshape(len(packed), -1, BLOCK * bits // 8)  # unchanged
        codes = unpack_codes(packed, bits)
        assert weight.bits is not None
        # A code is its value plus half the number of codes.
        return pack_codes(codes[:, : weight.shape[1]] + ((1 << weight.bits >> 1) - (1 << bits >> 1)), weight.bits)

    def _scales(self, weight: Weight, name: str, first: int, last: int) -> torch.Tensor:
        _, tensor = _tensors(weight, name)
        scales = self._checkpoint.read_rows(tensor, first, last).float()
        if not bool(torch.isfinite(scales).all()):
            raise self._wrong(tensor, "finite scales", "NaN or infinite scales")
        return scales.repeat_interleave(weight.groups // scales.shape[1], dim=1)

    def _wrong(self, tensor: str, expected: object, found: object) -> CheckpointError:
        return CheckpointError(
            f"{self._checkpoint.folder}: tensor {tensor}: expected {expected} by quantization_config in config.json, "
            f"found {found}. Check that config.json belongs to this checkpoint."
        )


def stored_names(weight: Weight, name: str) -> tuple[str, ...]:
    """Return the names of the tensors in which the checkpoint stores the source `name`."""
    return _tensors(weight, name) if weight.bits else (name,)


def _tensors(weight: Weight, name: str) -> tuple[str, str]:
    """Return the checkpoint's names of a source's codes and scales."""
    module = name.removesuffix(".weight")
    if weight.role == "table":
        return f"{module}.{TABLE_CODES}", f"{module}.embedding_scale"
    return name, f"{module}.weight_scale"
