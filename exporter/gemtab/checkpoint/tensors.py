"""The tensors of a checkpoint's safetensors files, memory-mapped and read one at a time."""

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

MOST_INDEX_BYTES = 64 << 20
"""Of the list of shards; a large mixture of experts has 10 MB."""

DTYPES = ("F32", "F16", "BF16", "U8", "I8", "I32", "I64")
"""What tensors may be: whole numbers are codes and what describes them."""


class _Slice(Protocol):
    """A tensor in a file, not read yet."""

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
        """Where the checkpoint lies; a GGUF file is its own place."""
        ...

    def names(self) -> list[str]:
        """All tensor names, sorted."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape; raises CheckpointError if there is no such tensor."""
        ...

    def read(self, name: str) -> torch.Tensor:
        """The whole tensor."""
        ...

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop - 1 along the first axis."""
        ...

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """The planes of the rows where the checkpoint itself has the codes and scales of the format `stored`."""
        ...


class Checkpoint:
    """Names, shapes and values of all tensors in a folder's `model.safetensors`, or in the files that its index
    lists. Opening reads headers only."""

    def __init__(self, folder: Path, files: dict[str, _File], file_of: dict[str, str]) -> None:
        self.folder = folder
        self._files = files
        self._file_of = file_of

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether the folder holds weights, whole or not."""
        return (folder / SINGLE_NAME).exists() or (folder / INDEX_NAME).exists()

    @classmethod
    def open(cls, folder: Path) -> "Checkpoint":
        """Open the folder's files. Raises CheckpointError if one is missing or truncated, or lacks a tensor that
        the index promises, and where it is not clear which of two tensors is meant."""
        if not cls.is_in(folder):
            raise missing_weights(folder)
        listed = read_index(folder)
        files = {name: _open_file(folder / name) for name in sorted(set(listed.values())) or [SINGLE_NAME]}
        held = {name: set(file.keys()) for name, file in files.items()}
        for tensor, name in listed.items():
            if tensor not in held[name]:
                raise CheckpointError(
                    f"{folder / name} has no tensor {tensor}, which {INDEX_NAME} says it holds. Download both again."
                )
        _check_held_once(folder, held)
        return cls(folder, files, listed or dict.fromkeys(held[SINGLE_NAME], SINGLE_NAME))

    @classmethod
    def of_file(cls, folder: Path, name: str) -> "Checkpoint":
        """The tensors of an adapter's file. Raises CheckpointError if it is missing or damaged."""
        if not (folder / name).exists():
            raise missing_adapter(folder / name)
        file = _open_file(folder / name)
        return cls(folder, {name: file}, dict.fromkeys(file.keys(), name))

    def names(self) -> list[str]:
        """All tensor names, sorted."""
        return sorted(self._file_of)

    def file_of(self, name: str) -> str:
        """The name of the file that the tensor is in."""
        return self._file_of[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape; raises CheckpointError if there is no such tensor."""
        return tuple(self._slice(name).get_shape())

    def read(self, name: str) -> torch.Tensor:
        """The whole tensor in its own dtype, one of DTYPES."""
        return self._slice(name)[...]

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop - 1 along the first axis, in the tensor's own dtype; nothing else is read."""
        return self._slice(name)[start:stop]

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> None:
        """None: safetensors of the known dtypes hold no codes."""

    def _slice(self, name: str) -> _Slice:
        if name not in self._file_of:
            raise CheckpointError(
                f"{self.folder}: tensor {name} is not in the checkpoint, and its config.json says it should be. "
                "Are all files there, and is the config this checkpoint's own?"
            )
        file = self._file_of[name]
        view = self._files[file].get_slice(name)
        if view.get_dtype() not in DTYPES:
            raise CheckpointError(
                f"{self.folder / file}: tensor {name} is {view.get_dtype()}; expected {', '.join(DTYPES)}."
            )
        return view


def read_index(folder: Path) -> dict[str, str]:
    """Tensor name -> file name as the folder's index has it, empty for a checkpoint of a single file. Raises
    CheckpointError where the index is damaged, or a single file is beside it."""
    path = folder / INDEX_NAME
    if not path.exists():
        return {}
    try:
        text = read_regular(path, MOST_INDEX_BYTES).decode("utf-8")
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
            f"{folder} has {SINGLE_NAME} and {INDEX_NAME}, which lists other files; expected either a single file or "
            f"an index with its shards. Remove {SINGLE_NAME} if the shards are the model, {INDEX_NAME} if it is."
        )
    return listed


class _RepeatedKeyError(Exception):
    """A JSON object has this key twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The JSON object; raises _RepeatedKeyError."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(key)
        found[key] = value
    return found


def _check_held_once(folder: Path, held: Mapping[str, set[str]]) -> None:
    """Raises CheckpointError where two of the files have a tensor of the same name."""
    first: dict[str, str] = {}
    for file, names in held.items():
        if both := names & first.keys():
            name = min(both)
            raise CheckpointError(
                f"{folder}: tensor {name} is in {first[name]} and in {file}{_and_more(len(both) - 1)}; expected each "
                "in one file. The shards are not of the same checkpoint, or one was saved twice: download them again."
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
            f"{path} is damaged or cut short ({path.stat().st_size} bytes; {error}). Download it again."
        ) from None
