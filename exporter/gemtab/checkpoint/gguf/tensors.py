"""Read a GGUF file's tensors with transformers' names and values, by rows of the memory map."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, ReaderTensor, dequantize

from gemtab.checkpoint.gguf.file import GgufFile
from gemtab.checkpoint.gguf.names import ROPE_FREQUENCIES, TOWERS, checkpoint_name
from gemtab.errors import CheckpointError
from gemtab.quantize import BLOCK, Planes, StorageFormat

SCALE_BYTES = 2
"""Size of the f16 at the start of a Q4_0 or Q8_0 block."""


class GgufTensors:
    """See `gemtab.checkpoint.tensors.Tensors`. Values are f32. The 1 that the converter added to Gemma 3's norms is
    subtracted. Raises CheckpointError for tensors with unknown names."""

    def __init__(self, file: GgufFile) -> None:
        self._file = file
        self._shift = 1.0 if file.architecture == "gemma3" else 0.0
        self._tensors: dict[str, ReaderTensor] = {}
        frequencies = ROPE_FREQUENCIES if file.architecture == "gemma4" else None
        for tensor in file.tensors.values():
            name = checkpoint_name(tensor.name)
            if name is not None:
                self._tensors[name] = tensor
            elif tensor.name != frequencies and not tensor.name.startswith(TOWERS):
                raise CheckpointError(
                    f"{file.path}: tensor {tensor.name} is not known and could change the model's results. gemtab "
                    "reads the text models of Gemma 3 and 4."
                )

    @property
    def folder(self) -> Path:
        """The file."""
        return self._file.path

    def names(self) -> list[str]:
        """Return all tensor names, sorted."""
        return sorted(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the tensor's shape. Raises CheckpointError where the tensor does not exist."""
        return tuple(reversed(self._tensor(name).shape.tolist()))

    def read(self, name: str) -> torch.Tensor:
        """Return the whole tensor."""
        return self.read_rows(name, 0, self.shape(name)[0])

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1 along the first axis; of matrices nothing else is read."""
        tensor = self._tensor(name)
        if len(tensor.shape) == 1:
            values = dequantize(tensor.data, tensor.tensor_type)[start:stop]
        else:
            values = dequantize(tensor.data[start:stop], tensor.tensor_type)
        # A copy: the mapped file is read-only.
        found = torch.from_numpy(np.array(values, dtype=np.float32))
        return found - self._shift if self._shift and name.endswith("norm.weight") else found

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """Return the rows' planes in the format `stored` where the file has the same codes and scales; else None."""
        tensor = self._tensor(name)
        if (stored, tensor.tensor_type) == ("q4", GGMLQuantizationType.Q4_0):
            scales, codes = _blocks(tensor.data[start:stop], BLOCK // 2)
            return {"codes": _interleaved(codes), "scales": scales}
        if (stored, tensor.tensor_type) == ("q8", GGMLQuantizationType.Q8_0):
            scales, codes = _blocks(tensor.data[start:stop], BLOCK)
            return {"codes": codes ^ np.uint8(128), "scales": scales}  # signed to offset binary
        return None

    def _tensor(self, name: str) -> ReaderTensor:
        if name not in self._tensors:
            raise CheckpointError(
                f"{self._file.path} has no tensor for {name}, which its metadata require. Check that the file is "
                "complete and has a text model."
            )
        return self._tensors[name]


def _blocks(data: npt.NDArray[np.uint8], code_bytes: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8]]:
    """Split rows [..., bytes] into scales [..., blocks] f16 and codes [..., blocks, code_bytes] u8."""
    blocks = np.array(data).reshape(*data.shape[:-1], -1, SCALE_BYTES + code_bytes)
    scales = np.ascontiguousarray(blocks[..., :SCALE_BYTES]).view(np.float16)[..., 0]
    return scales, np.ascontiguousarray(blocks[..., SCALE_BYTES:])


def _interleaved(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Repack bytes with columns i and i + 16 of a block into bytes with 2i (low bits) and 2i + 1."""
    columns = np.concatenate([codes & 15, codes >> 4], axis=-1)
    packed: npt.NDArray[np.uint8] = columns[..., 0::2] | columns[..., 1::2] << 4
    return packed
