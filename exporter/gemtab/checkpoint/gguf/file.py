"""Read a GGUF file's metadata and the locations of its tensors, with the reader of the gguf package."""

import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, ReaderTensor

from gemtab.checkpoint.gguf.metadata import General, Vocabulary
from gemtab.checkpoint.missing import check_no_pointer, is_pointer, not_a_gguf
from gemtab.checkpoint.schema import parse
from gemtab.errors import CheckpointError

ARCHITECTURES = ("gemma3", "gemma4")

# fmt: off
TENSOR_TYPES = frozenset({
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
    "IQ4_XS",
})
# fmt: on
"""Tensor types that are read; the gguf package dequantizes all of them."""


class GgufFile:
    """A GGUF file, memory-mapped. tensors: by the file's own names.

    Raises CheckpointError where the file is missing, damaged, truncated, one of several parts, of another architecture,
    or has tensors of a type that is not read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        reader = _open(path)
        self._fields = reader.fields
        self.tensors: dict[str, ReaderTensor] = {tensor.name: tensor for tensor in reader.tensors}
        self.architecture = self._architecture()
        self._check()

    def text(self, key: str) -> str | None:
        """Return the metadata at `key` as text; None where missing."""
        return str(self._value(key)) if key in self._fields else None

    def strings(self, key: str) -> list[str]:
        """Return the array of strings at `key`; empty where missing."""
        found = self._value(key) if key in self._fields else []
        return [str(one) for one in found] if isinstance(found, list) else []

    def under(self, prefix: str) -> dict[str, object]:
        """Return all metadata whose keys begin with `prefix`, by the rest of the key."""
        return {key.removeprefix(prefix): self._value(key) for key in self._fields if key.startswith(prefix)}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Tokens and their roles. Raises CheckpointError where the file has none."""
        return parse(Vocabulary, self.under("tokenizer.ggml."), str(self.path), "tokenizer.ggml.")

    @cached_property
    def general(self) -> General:
        """General metadata of the file."""
        return parse(General, self.under("general."), str(self.path), "general.")

    def _value(self, key: str) -> object:
        try:
            value: object = self._fields[key].contents()
            return value
        except (ValueError, IndexError) as error:
            raise CheckpointError(f"{self.path}: {key} cannot be read ({error}). Download the file again.") from None

    def _architecture(self) -> str:
        found = self.text("general.architecture")
        if reason := _not_a_model(found, self.text("general.type")):
            raise CheckpointError(f"{self.path} {reason}")
        if found not in ARCHITECTURES:
            raise CheckpointError(
                f"{self.path}: general.architecture is {found!r}; gemtab reads {' and '.join(ARCHITECTURES)} (text) "
                "from GGUF files."
            )
        return found

    def _check(self) -> None:
        if (parts := self.text("split.count")) not in (None, "0", "1"):
            raise CheckpointError(
                f"{self.path} is one of {parts} parts of a model. Merge them first (llama-gguf-split --merge)."
            )
        for tensor in self.tensors.values():
            if tensor.tensor_type.name not in TENSOR_TYPES:
                raise CheckpointError(
                    f"{self.path}: tensor {tensor.name} is {tensor.tensor_type.name}; expected one of "
                    f"{', '.join(sorted(TENSOR_TYPES))}. Use a file with another quantization."
                )


def _not_a_model(architecture: str | None, kind: str | None) -> str | None:
    """Return what a file without a text model is, and what to do; None for a text model."""
    if architecture == "clip" or kind == "mmproj":
        return (
            "is a projector (mmproj): it has a model's vision and audio parts, and no text model. Give the text "
            "model's GGUF file. For images and audio, export the folder in transformers' format."
        )
    if kind == "adapter":
        return (
            "is a LoRA adapter in GGUF, not a model. Export its base model, with the adapter's folder in peft's format "
            "by --adapter."
        )
    return "is an importance matrix, not a model. Give the model's own file." if kind == "imatrix" else None


class _Reader(GGUFReader):
    """A faster reader. The package's reader makes a numpy array for every element of an array: half a million for a
    vocabulary and its merges. Here an array of numbers is one array, and a string is a view of the file."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[GGUFValueType]]:
        if raw_type != GGUFValueType.ARRAY or self.byte_order != "I":
            found: tuple[int, list[Any], list[int], list[GGUFValueType]] = super()._get_field_parts(orig_offs, raw_type)
            return found
        element = GGUFValueType(int(self._get(orig_offs, np.uint32)[0]))
        count = int(self._get(orig_offs + 4, np.uint64)[0])
        start = orig_offs + 12
        types = [GGUFValueType.ARRAY, *[element] * (count > 0)]
        if (dtype := self.gguf_scalar_to_np.get(element)) is not None:
            numbers = self._get(start, dtype, count)
            _check_whole(len(numbers) == count)
            return 12 + numbers.nbytes, [self._get(orig_offs, np.uint8, 12), numbers], [1], types
        if element != GGUFValueType.STRING:
            raise ValueError(f"an array of {element.name}")
        data = memoryview(self.data)  # type: ignore[arg-type]
        parts: list[Any] = [data[orig_offs:start]]
        at = start
        for _ in range(count):
            stop = at + 8 + int.from_bytes(data[at : at + 8], sys.byteorder)
            _check_whole(stop <= len(data))
            parts.append(data[at + 8 : stop])
            at = stop
        return at - orig_offs, parts, list(range(1, len(parts))), types


def _check_whole(whole: bool) -> None:
    if not whole:
        raise ValueError("an array extends beyond the end of the file")


def _open(path: Path) -> GGUFReader:
    try:
        reader = _Reader(path)
    except (OSError, ValueError, IndexError, KeyError, OverflowError) as error:
        if is_pointer(path):
            check_no_pointer(path, path.read_text(encoding="utf-8"))
        if advice := not_a_gguf(path):
            raise CheckpointError(f"{path} is not a GGUF file. {advice}") from None
        raise CheckpointError(
            f"{path} cannot be read as GGUF ({path.stat().st_size} bytes; {error}). The file is damaged, truncated, or "
            "newer than the installed gguf package: download it again, or update gguf."
        ) from None
    if reader.byte_order != "I":
        raise CheckpointError(
            f"{path} has the byte order of other machines. Convert the model again on a machine like this one."
        )
    for tensor in reader.tensors:
        # Slices of a truncated mapping are shorter, and tensors without rows have no shape to contradict them.
        if tensor.data.nbytes != tensor.n_bytes:
            raise CheckpointError(f"{path} is truncated: {tensor.name} is incomplete. Download it again.")
    return reader
