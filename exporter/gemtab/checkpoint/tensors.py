"""Read the tensors of a checkpoint's safetensors files: memory-mapped, one at a time."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import EllipsisType
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open

from gemtab.checkpoint.missing import (
    INDEX_NAME,
    SINGLE_NAME,
    check_no_pointer,
    is_pointer,
    missing_adapter,
    missing_weights,
)
from gemtab.errors import CheckpointError
from gemtab.quantize import Planes, StorageFormat
from gemtab.regular import NotReadError, check_regular, read_regular

MAX_INDEX_BYTES = 64 << 20
"""Maximum bytes of the index of shards; a large mixture of experts has 10 MB."""

DTYPES = ("F32", "F16", "BF16", "U8", "I8", "I32", "I64")
"""Accepted dtypes of tensors; integers are quantized weights and their descriptions."""


class _Slice(Protocol):
    """A tensor in a file that is not read yet."""

    def get_shape(self) -> list[int]: ...

    def get_dtype(self) -> str: ...

    def __getitem__(self, rows: slice | EllipsisType) -> torch.Tensor: ...


class _File(Protocol):
    """An open safetensors file."""

    def keys(self) -> list[str]: ...

    def get_slice(self, name: str) -> _Slice: ...


class Tensors(Protocol):
    """Names, shapes and values of a checkpoint's tensors: see Checkpoint."""

    @property
    def folder(self) -> Path:
        """The checkpoint's folder, or the GGUF file."""
        ...

    def names(self) -> list[str]:
        """Return all tensor names, sorted."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the tensor's shape. Raises CheckpointError where the tensor does not exist."""
        ...

    def read(self, name: str) -> torch.Tensor:
        """Return the whole tensor."""
        ...

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1 along the first axis."""
        ...

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """Return the rows' planes where the checkpoint already has them in the format `stored`; else None."""
        ...


class Checkpoint:
    """Names, shapes and values of all tensors in a folder's `model.safetensors`, or in the files that its index lists.
    Opening reads headers only."""

    def __init__(self, folder: Path, files: dict[str, _File], file_of: dict[str, str]) -> None:
        self.folder = folder
        self._files = files
        self._file_of = file_of

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether the folder has weights, complete or not."""
        return (folder / SINGLE_NAME).exists() or (folder / INDEX_NAME).exists()

    @classmethod
    def open(cls, folder: Path) -> "Checkpoint":
        """Open the folder's files. Raises CheckpointError where a file is missing or truncated, a tensor of the index
        is missing, or one tensor is in two files."""
        if not cls.is_in(folder):
            raise missing_weights(folder)
        listed = read_index(folder)
        files = {name: _open_file(folder / name) for name in sorted(set(listed.values())) or [SINGLE_NAME]}
        held = {name: set(file.keys()) for name, file in files.items()}
        for tensor, name in listed.items():
            if tensor not in held[name]:
                raise CheckpointError(
                    f"{folder / name} has no tensor {tensor}, which {INDEX_NAME} lists there. Download both again."
                )
        _check_held_once(folder, held)
        return cls(folder, files, listed or dict.fromkeys(held[SINGLE_NAME], SINGLE_NAME))

    @classmethod
    def of_file(cls, folder: Path, name: str) -> "Checkpoint":
        """Open an adapter's file. Raises CheckpointError where it is missing or damaged."""
        if not (folder / name).exists():
            raise missing_adapter(folder / name)
        file = _open_file(folder / name)
        return cls(folder, {name: file}, dict.fromkeys(file.keys(), name))

    def names(self) -> list[str]:
        """Return all tensor names, sorted."""
        return sorted(self._file_of)

    def file_of(self, name: str) -> str:
        """Return the name of the file with the tensor."""
        return self._file_of[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the tensor's shape. Raises CheckpointError where the tensor does not exist."""
        return tuple(self._slice(name).get_shape())

    def read(self, name: str) -> torch.Tensor:
        """Return the whole tensor in its own dtype, one of DTYPES."""
        return self._slice(name)[...]

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Return rows start … stop - 1 along the first axis, in the tensor's own dtype; nothing else is read."""
        return self._slice(name)[start:stop]

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> None:
        """Return None: plain safetensors have no packed weights."""

    def _slice(self, name: str) -> _Slice:
        if name not in self._file_of:
            raise CheckpointError(
                f"{self.folder}: tensor {name} is not in the checkpoint, and config.json requires it. "
                "Check that all files are there, and that config.json belongs to this checkpoint."
            )
        file = self._file_of[name]
        view = self._files[file].get_slice(name)
        if view.get_dtype() not in DTYPES:
            raise CheckpointError(
                f"{self.folder / file}: tensor {name} is {view.get_dtype()}; expected {', '.join(DTYPES)}."
            )
        return view


def read_index(folder: Path) -> dict[str, str]:
    """Return the file name of each tensor by the folder's index; empty for a checkpoint of one file. Raises
    CheckpointError where the index is damaged, or a single file is beside it."""
    path = folder / INDEX_NAME
    if not path.exists():
        return {}
    try:
        text = read_regular(path, MAX_INDEX_BYTES).decode("utf-8")
        listed = json.loads(text, object_pairs_hook=_without_repeats)["weight_map"]
        assert isinstance(listed, dict)
        for tensor, name in listed.items():
            assert isinstance(tensor, str) and isinstance(name, str) and Path(name).name == name
    except _RepeatedKeyError as error:
        raise CheckpointError(
            f"{path} lists {error} twice; expected one file of this folder for each tensor. Download it again."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AssertionError, RecursionError) as error:
        reason = str(error) if isinstance(error, NotReadError) else type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read ({reason}): expected weight_map with a file of this folder for each "
            "tensor. Download it again."
        ) from None
    if SINGLE_NAME not in listed.values() and (folder / SINGLE_NAME).exists():
        raise CheckpointError(
            f"{folder} has {SINGLE_NAME}, and {INDEX_NAME} lists other files; expected a single file or an index with "
            f"its shards. Remove {SINGLE_NAME} if the shards are the model, else {INDEX_NAME}."
        )
    return listed


class _RepeatedKeyError(Exception):
    """A JSON object has this key twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the JSON object. Raises _RepeatedKeyError."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(key)
        found[key] = value
    return found


def _check_held_once(folder: Path, held: Mapping[str, set[str]]) -> None:
    """Raise CheckpointError where two files have a tensor of the same name."""
    first: dict[str, str] = {}
    for file, names in held.items():
        if both := names & first.keys():
            name = min(both)
            raise CheckpointError(
                f"{folder}: tensor {name} is in {first[name]} and in {file}{_and_more(len(both) - 1)}; expected each "
                "tensor in one file. Either the shards are of different checkpoints, or one was saved twice: download "
                "them again."
            )
        first |= dict.fromkeys(names, file)


def _and_more(count: int) -> str:
    return f", and so are {count} more" if count else ""


def _open_file(path: Path) -> _File:
    try:
        check_regular(path)
        file: _File = safe_open(path, framework="pt")
        return file
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing. Download the checkpoint again, with all its files.") from None
    except NotReadError as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Give the checkpoint's own files.") from None
    except (OSError, SafetensorError) as error:
        if is_pointer(path):
            check_no_pointer(path, path.read_text(encoding="utf-8"))
        raise CheckpointError(
            f"{path} is damaged or truncated ({path.stat().st_size} bytes; {error}). Download it again."
        ) from None
