"""Matrices packed by the compressed-tensors library: integers of 4 or 8 bits with one scale for a group of columns.

A matrix `x.weight` is stored as `x.weight_packed` (int32, earlier columns in lower bits, offset by half the number of
codes), `x.weight_scale` [rows, groups] and `x.weight_shape`. Where a bundle's blocks can hold the same codes and
scales, they are stored unchanged.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from gemtab.checkpoint.tensors import Checkpoint
from gemtab.errors import CheckpointError
from gemtab.quantize import BLOCK, Planes, StorageFormat, unpack_codes

PACKED = ".weight_packed"
_PARTS = (PACKED, ".weight_scale", ".weight_shape")
_REJECTED = {".weight_zero_point": "asymmetric integers", ".weight_g_idx": "columns in another order (actorder)"}


@dataclass(frozen=True)
class _Matrix:
    """A packed matrix. shape: [rows, columns]. bits: bits of an integer."""

    shape: tuple[int, int]
    bits: int


class CompressedTensors:
    """See `gemtab.checkpoint.tensors.Tensors`: packed matrices have the names and values of the matrices that they
    stand for. Raises CheckpointError for packings of other kinds."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        held = checkpoint.names()
        for name in held:
            for ending, kind in _REJECTED.items():
                if name.endswith(ending):
                    raise CheckpointError(
                        f"{checkpoint.folder}: tensor {name} means {kind}, which gemtab does not read. Export a "
                        "checkpoint with symmetric integers in the columns' own order, or the unquantized one."
                    )
        names = [name.removesuffix(PACKED) + ".weight" for name in held if name.endswith(PACKED)]
        self._packed = {name: self._checked(name) for name in names}
        self._plain = [name for name in held if not name.endswith(_PARTS)]

    @property
    def folder(self) -> Path:
        """The checkpoint's folder."""
        return self._checkpoint.folder

    def names(self) -> list[str]:
        """Return all tensor names, sorted; packed matrices by the names of the matrices that they stand for."""
        return sorted([*self._plain, *self._packed])

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the tensor's shape. Raises CheckpointError where the tensor does not exist."""
        return self._packed[name].shape if name in self._packed else self._checkpoint.shape(name)

    def read(self, name: str) -> torch.Tensor:
        """Return the whole tensor, f32 if it was packed."""
        return self.read_rows(name, 0, self.shape(name)[0]) if name in self._packed else self._checkpoint.read(name)

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1 along the first axis, f32 if they were packed."""
        if name not in self._packed:
            return self._checkpoint.read_rows(name, start, stop)
        bits, columns = self._packed[name].bits, self.shape(name)[1]
        numbers = unpack_codes(self._bytes(name, start, stop), bits)[:, :columns].float() - (1 << (bits - 1))
        scales = self._scales(name, start, stop)
        return numbers * scales.repeat_interleave(-(-columns // scales.shape[1]), dim=1)[:, :columns]

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """Return the rows' planes in the format `stored` where its codes are the same and f16 holds the scales; else
        None."""
        if name not in self._packed or {4: "q4", 8: "q8"}[self._packed[name].bits] != stored:
            return None
        columns, scales = self.shape(name)[1], self._scales(name, start, stop)
        group = columns // scales.shape[1]
        halves = scales.to(torch.float16)
        if group * scales.shape[1] != columns or group % BLOCK or not torch.equal(halves.float(), scales):
            return None
        codes = self._bytes(name, start, stop).reshape(stop - start, columns // BLOCK, -1)
        return {"codes": codes.numpy(), "scales": halves.repeat_interleave(group // BLOCK, dim=1).numpy()}

    def _bytes(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the packed codes of rows, [rows, bytes] u8."""
        return self._checkpoint.read_rows(_part(name, PACKED), start, stop).contiguous().view(torch.uint8)

    def _scales(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return the scales of rows, [rows, groups] f32."""
        return self._checkpoint.read_rows(_part(name, ".weight_scale"), start, stop).float()

    def _checked(self, name: str) -> _Matrix:
        """Return the description of a packed matrix, after checking its parts against each other."""
        described = self._checkpoint.read(_part(name, ".weight_shape")).tolist()
        packed, scales = (self._checkpoint.shape(_part(name, part)) for part in (PACKED, ".weight_scale"))
        if not isinstance(described, list) or len(described) != 2:
            raise self._wrong(name, ".weight_shape", "two numbers", described)
        rows, columns = described
        bits = next((bits for bits in (4, 8) if packed == (rows, -(-columns * bits // 32))), None)
        if bits is None:
            raise self._wrong(name, PACKED, f"{rows} rows of {columns} integers of 4 or 8 bits", list(packed))
        if len(scales) != 2 or scales[0] != rows or not 1 <= scales[1] <= columns:
            raise self._wrong(name, ".weight_scale", f"[{rows}, groups]", list(scales))
        return _Matrix((rows, columns), bits)

    def _wrong(self, name: str, part: str, expected: str, found: object) -> CheckpointError:
        return CheckpointError(
            f"{self.folder}: tensor {_part(name, part)} does not fit {_part(name, '.weight_shape')}: expected "
            f"{expected}, found {found}. The file is damaged; download it again."
        )


def _part(name: str, ending: str) -> str:
    return name.removesuffix(".weight") + ending
