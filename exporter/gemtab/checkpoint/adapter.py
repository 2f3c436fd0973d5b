"""LoRA adapters as peft saves them, added to a checkpoint's tensors as they are read.

The sum is peft's own merge in f32: W + scaling * B A, and with DoRA its rows brought to the lengths that the adapter
has learned. Rows are merged as they are read, so that only one matrix's change is in memory.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from gemtab.checkpoint.tensors import Checkpoint, Tensors
from gemtab.errors import CheckpointError
from gemtab.quantize import Planes, StorageFormat

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"

_ELSEWHERE = (
    "fan_in_fan_out", "layer_replication", "lora_bias", "target_parameters", "trainable_token_indices",
    "alora_invocation_tokens", "use_qalora",
)  # fmt: skip
"""Settings that change what an adapter's tensors mean in ways that are not merged here."""

_PART = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+?)\."
    r"(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)(?:\.default)?(?:\.weight)?"
)
_SAVED = re.compile(r"(?:base_model\.model\.)?(?P<name>(?:(?!lora_).)+?)")


class AdapterConfig(BaseModel):
    """What adapter_config.json says, as far as a merge needs it."""

    model_config = ConfigDict(extra="allow")

    peft_type: str
    r: int
    lora_alpha: float
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    use_rslora: bool = False
    use_dora: bool = False
    bias: str = "none"

    def rank(self, module: str) -> int:
        """The rank of the module's adapter."""
        return int(_by_pattern(self.rank_pattern, module, self.r))

    def scaling(self, module: str) -> float:
        """What B A is multiplied by."""
        rank = self.rank(module)
        alpha = _by_pattern(self.alpha_pattern, module, self.lora_alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def _by_pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    """The value of the first pattern that is the module's name or its end: patterns are regular expressions."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)


@dataclass(frozen=True)
class _Change:
    """What an adapter does to one tensor. first: [rank, columns]; second: [rows, rank]; lengths: [rows], of DoRA."""

    first: torch.Tensor
    second: torch.Tensor
    scaling: float
    lengths: torch.Tensor | None

    def rows(self, weight: torch.Tensor, start: int) -> torch.Tensor:
        """Rows of the tensor from `start` on, changed."""
        stop = start + len(weight)
        merged = weight.float() + (self.second[start:stop] @ self.first) * self.scaling
        if self.lengths is not None:
            found: torch.Tensor = torch.linalg.vector_norm(merged, dim=1)
            merged = merged * (self.lengths[start:stop] / found)[:, None]
        return merged


class AdaptedCheckpoint:
    """The tensors of `base` with those changed that the adapter in `folder` names, which then are f32."""

    def __init__(self, base: Tensors, folder: Path) -> None:
        """Raises CheckpointError where the adapter is damaged, of a kind that cannot be merged, or of another base."""
        self._base = base
        self.folder = base.folder
        self._adapter = folder
        self._file = Checkpoint.of_file(folder, WEIGHTS_NAME)
        self._config = _read_config(folder)
        self._parts, self._saved = self._sorted()
        for name, keys in self._parts.items():
            self._check_parts(name, keys)
        self._latest: tuple[str, _Change] | None = None

    def names(self) -> list[str]:
        """All tensor names of the base, sorted."""
        return self._base.names()

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape; raises CheckpointError if there is no such tensor."""
        return self._base.shape(name)

    def read(self, name: str) -> torch.Tensor:
        """The whole tensor, f32 where the adapter changes it."""
        if name in self._saved or name in self._parts:
            return self.read_rows(name, 0, self.shape(name)[0])
        return self._base.read(name)

    def read_rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop - 1 along the first axis, f32 where the adapter changes the tensor."""
        if name in self._saved:
            found = self._file.read_rows(self._saved[name], start, stop)
        else:
            found = self._base.read_rows(name, start, stop)
        return self._change(name).rows(found, start) if name in self._parts else found

    def packed_rows(self, name: str, stored: StorageFormat, start: int, stop: int) -> Planes | None:
        """The base's planes of the rows where it has them, and the adapter leaves the tensor alone."""
        if name in self._saved or name in self._parts:
            return None
        return self._base.packed_rows(name, stored, start, stop)

    def _sorted(self) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        """The adapter's tensors: by the base's tensor and part, and those that take the place of one of the base's."""
        known = set(self._base.names())
        parts: dict[str, dict[str, str]] = {}
        saved: dict[str, str] = {}
        strange = []
        for key in self._file.names():
            if match := _PART.fullmatch(key):
                module = match["module"]
                if (name := _in_base(f"{module}.weight", known)) is None:
                    strange.append(module)
                else:
                    parts.setdefault(name, {})[match["part"]] = key
            elif (match := _SAVED.fullmatch(key)) and (name := _in_base(_unwrapped(match["name"]), known)):
                saved[name] = key
                self._check_shape(key, self._file.shape(key), name, self._base.shape(name))
            else:
                strange.append(key)
        if strange:
            raise CheckpointError(
                f"{self._adapter / WEIGHTS_NAME} changes what the checkpoint does not have: {_listed(strange)}. It was "
                f"trained on another base ({self._base_name}?); the checkpoint is {self.folder}."
            )
        if not parts and not saved:
            raise CheckpointError(f"{self._adapter / WEIGHTS_NAME} has no tensors: there is nothing to merge.")
        return parts, saved

    @property
    def _base_name(self) -> str:
        return str((self._config.model_extra or {}).get("base_model_name_or_path") or "not named")

    def _check_parts(self, name: str, keys: Mapping[str, str]) -> None:
        """What changes the tensor `name` is whole and fits."""
        module = _module(keys)
        rows, columns = self._base.shape(name)
        rank = self._config.rank(module)
        expected: dict[str, tuple[int, ...]] = {"lora_A": (rank, columns), "lora_B": (rows, rank)}
        if "lora_embedding_A" in keys:
            expected = {"lora_embedding_A": (rank, rows), "lora_embedding_B": (columns, rank)}
        if self._config.use_dora:
            expected["lora_magnitude_vector"] = (rows,)
        if keys.keys() != expected.keys():
            raise CheckpointError(
                f"{self._adapter / WEIGHTS_NAME} has {', '.join(sorted(keys))} for {module}, but {CONFIG_NAME} "
                f"asks for {', '.join(sorted(expected))}. The two files are not of the same adapter."
            )
        for part, key in keys.items():
            self._check_shape(key, self._file.shape(key), name, expected[part])

    def _change(self, name: str) -> _Change:
        """The change of the tensor `name`; that of the last one is kept, since a tensor is read in several pieces, by
        several threads."""
        latest = self._latest
        if latest is None or latest[0] != name:
            keys = self._parts[name]
            parts = {part: self._read(key) for part, key in keys.items()}
            if "lora_A" in parts:
                first, second = parts["lora_A"], parts["lora_B"]
            else:
                first, second = parts["lora_embedding_B"].T, parts["lora_embedding_A"].T
            scaling = self._config.scaling(_module(keys))
            latest = name, _Change(first, second, scaling, parts.get("lora_magnitude_vector"))
            self._latest = latest
        return latest[1]

    def _read(self, key: str) -> torch.Tensor:
        found = self._file.read(key).float()
        if not torch.isfinite(found).all():
            raise CheckpointError(
                f"{self._adapter / WEIGHTS_NAME}: tensor {key} has values that are NaN or infinite. The file is "
                "damaged or the training diverged."
            )
        return found

    def _check_shape(self, key: str, found: Sequence[int], name: str, expected: Sequence[int]) -> None:
        if tuple(found) != tuple(expected):
            raise CheckpointError(
                f"{self._adapter / WEIGHTS_NAME}: {key} has the shape {list(found)}, but {name} of {self.folder} and "
                f"{CONFIG_NAME} ask for {list(expected)}. The adapter was trained on another base ({self._base_name}?)."
            )


def adapted(base: Tensors, adapters: Sequence[Path]) -> Tensors:
    """`base` with all adapters merged, in this order. Raises CheckpointError where one does not fit."""
    for folder in adapters:
        base = AdaptedCheckpoint(base, folder)
    return base


def check_adapter(folder: Path) -> None:
    """Raises CheckpointError where an adapter is damaged or of a kind that cannot be merged, whatever its base is."""
    Checkpoint.of_file(folder, WEIGHTS_NAME)
    _read_config(folder)


def _read_config(folder: Path) -> AdapterConfig:
    path = folder / CONFIG_NAME
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config = AdapterConfig.model_validate(content)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: an adapter is a folder as peft saves it.") from None
    except (OSError, ValueError, ValidationError) as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from None
    if config.peft_type != "LORA":
        raise CheckpointError(f"{path}: peft_type is {config.peft_type}; only LORA can be merged into a checkpoint.")
    if config.bias != "none":
        raise CheckpointError(f"{path}: bias is {config.bias!r}, but Gemma 4's matrices have none to change.")
    for name in _ELSEWHERE:
        if content.get(name):
            raise CheckpointError(
                f"{path}: {name} is {content[name]!r}, which cannot be merged here. Merge with peft "
                "(merge_and_unload, save_pretrained) and export the result."
            )
    return config


def _in_base(name: str, known: set[str]) -> str | None:
    """The base's name of a tensor: the text stack's begin otherwise where it was trained on its own."""
    tail = name.removeprefix("model.").removeprefix("language_model.")
    return next((one for one in (name, f"model.language_model.{tail}", f"model.{tail}") if one in known), None)


def _unwrapped(name: str) -> str:
    """The name without what peft wraps around a module that it saves whole."""
    return re.sub(r"\.(modules_to_save(\.default)?|base_layer)(?=\.)", "", name)


def _module(keys: Mapping[str, str]) -> str:
    """What the adapter calls the module whose parts these are: its patterns are written for that."""
    match = _PART.fullmatch(next(iter(keys.values())))
    assert match is not None
    return match["module"]


def _listed(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(list(dict.fromkeys(names))[:most]) + more
