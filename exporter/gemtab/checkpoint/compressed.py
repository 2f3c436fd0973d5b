"""Matrices that the compressed-tensors library packed: whole numbers of 4 or 8 bits, a scale a group of columns.

A matrix `x.weight` is stored as `x.weight_packed` (int32, the earlier columns in the lower bits, half of the codes
added to make them positive), `x.weight_scale` [rows, groups] and `x.weight_shape`. Where a bundle's blocks hold the
same, codes and scales go into it as they are.
"""

from pathlib import Path

import torch

from gemtab.checkpoint.tensors import Checkpoint
from gemtab.errors import CheckpointError
from gemtab.quantize import BLOCK, PlainFormat, Planes, unpack_codes

PACKED = ".weight_packed"
_PARTS = (PACKED, ".weight_scale", ".weight_shape")
_REFUSED = {".weight_zero_point": "asymmetric codes", ".weight_g_idx": "columns in another order (actorder)"}


class CompressedTensors:
    """See `gemtab.checkpoint.tensors.Tensors`: packed matrices appear under the names and with the values that they
    stand for. Raises CheckpointError for packings of other kinds."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        held = checkpoint.names()
        for name in held:
            for ending, kind in _REFUSED.items():
                if name.endswith(ending):
                    raise CheckpointError(
                        f"{checkpoint.folder}: tensor {name} tells of {kind}, which gemtab does not read. Export a "
                        "checkpoint with symmetric codes in the columns' own order, or the unquantised one."
                    )
        self._packed = {name.removesuffix(PACKED) + ".weight" for name in held if name.endswith(PACKED)}
        self._plain = [name for name in held if not name.endswith(_PARTS)]

    @property
    def folder(self) -> Path:
        """Where the checkpoint lies."""
        return self._checkpoint.folder

    def names(self) -> list[str]:
        """All tensor names, sorted; packed matrices by the names of what they stand for."""
        return sorted([*self._plain, *self._packed])

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape; raises CheckpointError if there is no such tensor."""
        if name not in self._packed:
            return self._checkpoint.shape(name)
        return tuple(self._checkpoint.read(_part(name, ".weight_shape")).tolist())

    def read(self, name: str) -> torch.Tensor:
        """The whole tensor, f32 where it was packed."""
        return self.read_rows(name, 0, self.shape(name)[0]) if name in self._packed else self._checkpoint.read(name)

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop - 1 along the first axis, f32 where they were packed."""
        if name not in self._packed:
            return self._checkpoint.read_rows(name, start, stop)
        bits, columns = self._bits(name), self.shape(name)[1]
        numbers = unpack_codes(self._bytes(name, start, stop), bits)[:, :columns].float() - (1 << (bits - 1))
        scales = self._scales(name, start, stop)
        return numbers * scales.repeat_interleave(-(-columns // scales.shape[1]), dim=1)[:, :columns]

    def packed_rows(self, name: str, weight_format: PlainFormat, start: int, stop: int) -> Planes | None:
        """The rows' planes in `weight_format` where they have the same codes, and scales that f16 holds; else None."""
        if name not in self._packed or {4: "q4", 8: "q8"}[self._bits(name)] != weight_format:
            return None
        columns, scales = self.shape(name)[1], self._scales(name, start, stop)
        group = columns // scales.shape[1]
        halves = scales.to(torch.float16)
        if group * scales.shape[1] != columns or group % BLOCK or not torch.equal(halves.float(), scales):
            return None
        codes = self._bytes(name, start, stop).reshape(stop - start, columns // BLOCK, -1)
        return {"codes": codes.numpy(), "scales": halves.repeat_interleave(group // BLOCK, dim=1).numpy()}

    def _bytes(self, name: str, start: int, stop: int) -> torch.Tensor:
        """The packed codes of rows, [rows, bytes] u8."""
        return self._checkpoint.read_rows(_part(name, PACKED), start, stop).contiguous().view(torch.uint8)

    def _scales(self, name: str, start: int, stop: int) -> torch.Tensor:
        """The scales of rows, [rows, groups] f32."""
        return self._checkpoint.read_rows(_part(name, ".weight_scale"), start, stop).float()

    def _bits(self, name: str) -> int:
        rows, columns = self.shape(name)
        found = self._checkpoint.shape(_part(name, PACKED))
        for bits in (4, 8):
            if found == (rows, -(-columns * bits // 32)):
                return bits
        raise CheckpointError(
            f"{self.folder}: tensor {_part(name, PACKED)} has the shape {list(found)}; expected the {rows} rows of "
            f"{columns} codes of 4 or 8 bits that {_part(name, '.weight_shape')} tells of."
        )


def _part(name: str, ending: str) -> str:
    return name.removesuffix(".weight") + ending
