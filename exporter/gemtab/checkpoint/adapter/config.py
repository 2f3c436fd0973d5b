"""Read adapter_config.json, and reject kinds of adapters that cannot be merged."""

import json
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gemtab.bundle import limits
from gemtab.checkpoint.tensors import Checkpoint
from gemtab.errors import CheckpointError
from gemtab.patterns import Patterns, check_expression
from gemtab.regular import read_regular

CONFIG_NAME: Final = "adapter_config.json"
WEIGHTS_NAME: Final = "adapter_model.safetensors"
PICKLE_NAME: Final = "adapter_model.bin"

MERGE_WITH_PEFT: Final = "Merge it with peft (merge_and_unload, save_pretrained) and export the result."

_NO_WEIGHTS: Final = {
    "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT", "CARTRIDGE",
    "XLORA", "POLY",
}  # fmt: skip
"""Kinds of peft that change the prompt, the cache or a router, which no checkpoint's weights can hold."""

_OTHER_BASE: Final = {"pissa": "PiSSA", "olora": "OLoRA", "corda": "CorDA", "lora_ga": "LoRA-GA", "loftq": "LoftQ"}
"""Initialisations that change the base's weights before training, by the beginning of their values."""

_NOT_MERGED: Final = {
    "layer_replication": f"the adapter repeats layers of its base. {MERGE_WITH_PEFT}",
    "lora_bias": "the adapter adds biases, and the model's matrices have none. Train it again without them.",
    "alora_invocation_tokens": "the adapter is active only after certain tokens, which no weights can hold.",
    "use_qalora": f"the adapter changes groups of columns of a GPTQ model. {MERGE_WITH_PEFT}",
    "use_bdlora": f"the adapter's matrices are stored in blocks. {MERGE_WITH_PEFT}",
    "arrow_config": "the adapter chooses among adapters for each token, which no weights can hold.",
    "kasa_config": f"KaSA changed the base's weights before training. {MERGE_WITH_PEFT}",
    "monteclora_config": f"the adapter's values are sampled at random. {MERGE_WITH_PEFT}",
}
"""Settings that change an adapter's computation in ways that are not merged here."""

_HARMLESS: Final = {
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "target_modules", "exclude_modules", "lora_dropout", "fan_in_fan_out", "init_lora_weights", "layers_to_transform",
    "layers_pattern", "megatron_config", "megatron_core", "loftq_config", "eva_config", "corda_config",
    "lora_ga_config", "velora_config", "qalora_group_size", "runtime_config", "ensure_weight_tying",
}  # fmt: skip
"""Settings of peft that describe how an adapter was made, or that its tensors show."""

_CLASSIFIERS: Final = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION")

Value = TypeVar("Value", int, float)
Rank = Annotated[int, Field(gt=0)]


class AdapterConfig(BaseModel):
    """The settings of adapter_config.json that a merge needs."""

    model_config = ConfigDict(extra="allow")

    r: Rank
    lora_alpha: Annotated[float, Field(allow_inf_nan=False)]
    rank_pattern: dict[str, Rank] = {}
    alpha_pattern: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    use_rslora: bool = False
    use_dora: bool = False
    bias: str = "none"
    modules_to_save: tuple[str, ...] = ()
    target_parameters: tuple[str, ...] = ()
    trainable_token_indices: tuple[int, ...] | dict[str, tuple[int, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, content: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in content.items() if value is not None}

    @field_validator("rank_pattern", "alpha_pattern")
    @classmethod
    def _are_expressions(cls, patterns: dict[str, Any]) -> dict[str, Any]:
        for pattern in patterns:
            check_expression(pattern)
        return patterns

    @cached_property
    def _ranked(self) -> Patterns:
        return _whole_or_end(self.rank_pattern)

    @cached_property
    def _scaled(self) -> Patterns:
        return _whole_or_end(self.alpha_pattern)

    @property
    def base_name(self) -> str:
        """The adapter's name for its base."""
        return str((self.model_extra or {}).get("base_model_name_or_path") or "not named")

    def rank(self, target: str, found: int) -> int:
        """Return the rank of the change of `target`, a module or parameter by the adapter's own name: the rank of its
        tensors, if any pattern states that rank. peft sorts patterns when it saves them, so their order is not that of
        the training."""
        ranks = _values(self.rank_pattern, self._ranked, target) or [self.r]
        return found if found in ranks else int(ranks[0])

    def scaling(self, target: str, rank: int) -> float:
        """Return the factor of the product B A."""
        alpha = (_values(self.alpha_pattern, self._scaled, target) or [self.lora_alpha])[0]
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)

    def saves(self, module: str) -> bool:
        """Whether modules_to_save names the module, whose parameters were then trained in full."""
        return any(f"{name}." in f"{module}." for name in self.modules_to_save)

    def token_indices(self, module: str) -> tuple[int, ...]:
        """Return the rows of the module that were trained individually."""
        found = self.trainable_token_indices
        if not isinstance(found, dict):
            return found
        inside = (rows for name, rows in found.items() if _is_end(name, module) or _is_end(module, name))
        return next(inside, ())

    def target(self, module: str, parameter: str) -> str:
        """Return the name that patterns match: the module's, or the parameter's if the parameter is a target."""
        name = f"{module}.{parameter}"
        return name if any(_is_end(each, name) for each in self.target_parameters) else module


def read_adapter_config(folder: Path) -> AdapterConfig:
    """Read the config of the adapter in `folder`. Raises CheckpointError, with the reason and an alternative, where the
    config is missing, damaged, or of a kind that cannot be merged."""
    path = folder / CONFIG_NAME
    content = _read(path)
    _check_kind(content, path)
    _check_settings(content, path)
    try:
        return AdapterConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise CheckpointError(f"{path}: {where}: {first['msg']}. Save the adapter again with peft.") from None


def open_adapter(folder: Path) -> Checkpoint:
    """Open the tensors of the adapter in `folder`. Raises CheckpointError, with the reason and an alternative, where
    they are missing, damaged, or in a file that gemtab does not open."""
    if not (folder / WEIGHTS_NAME).exists():
        if (folder / PICKLE_NAME).exists():
            raise CheckpointError(
                f"{folder} has only {PICKLE_NAME}, a pickle: reading it can execute code, so gemtab reads safetensors. "
                "If you trust the adapter, load it with peft and save it again (save_pretrained)."
            )
        found = sorted(each.name for each in folder.glob("*.safetensors"))
        if found:
            raise CheckpointError(
                f"{folder / WEIGHTS_NAME} is missing; found {', '.join(found)}. Save the adapter with peft."
            )
    return Checkpoint.of_file(folder, WEIGHTS_NAME)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_regular(path, limits.CONFIG_BYTES).decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(_missing(path)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be used: {error}. Download it again.") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} cannot be used: expected a JSON object. Download it again.")
    return content


def _missing(path: Path) -> str:
    folder = path.parent
    if folder.is_file():
        return f"{folder} is a file. Name the folder of the adapter, with {CONFIG_NAME} and {WEIGHTS_NAME}."
    if not folder.is_dir():
        return f"{path} is missing: there is no folder {folder}. An adapter is a folder in peft's format."
    if (folder / "config.json").exists():
        return f"{path} is missing: {folder} is a checkpoint, not an adapter. Export it without --adapter."
    inner = sorted(found.parent.name for found in folder.glob(f"*/{CONFIG_NAME}"))
    hint = f" Its subfolders {', '.join(inner)} have one: name one of these." if inner else ""
    return f"{path} is missing: an adapter is a folder in peft's format.{hint}"


def _check_kind(content: Mapping[str, Any], path: Path) -> None:
    kind = content.get("peft_type")
    if kind is None:
        reason = (
            "the adapter is in mlx-lm's format. Fuse it with mlx-lm (mlx_lm.fuse), and export the result."
            if "fine_tune_type" in content
            else "it is not an adapter in peft's format. Save it with peft."
        )
        raise CheckpointError(f"{path} has no peft_type: {reason}")
    if kind != "LORA":
        reason = f"{path}: peft_type is {kind}; only LORA can be merged. "
        way = "No checkpoint can hold this kind: it changes more than weights." if kind in _NO_WEIGHTS else None
        raise CheckpointError(reason + (way or MERGE_WITH_PEFT))
    task = content.get("task_type")
    if task in _CLASSIFIERS:
        raise CheckpointError(
            f"{path}: task_type is {task}: the adapter is not for a chat model. Use one with CAUSAL_LM."
        )


def _check_settings(content: Mapping[str, Any], path: Path) -> None:
    start = str(content.get("init_lora_weights")).lower()
    changed = next((name for key, name in _OTHER_BASE.items() if start.startswith(key)), None)
    if changed:
        raise CheckpointError(
            f"{path}: init_lora_weights is {content['init_lora_weights']!r}: {changed} changed the base's weights "
            "before training, so the adapter does not fit the original base. Convert the adapter to a plain LoRA "
            "(save_pretrained with path_initial_model_for_weight_conversion), or merge it where it was trained "
            "(merge_and_unload, save_pretrained) and export the result."
        )
    for name, reason in _NOT_MERGED.items():
        if content.get(name):
            raise CheckpointError(f"{path}: {name} is {content[name]!r}, which cannot be merged: {reason}")
    known = _HARMLESS | {*_NOT_MERGED, *AdapterConfig.model_fields, "peft_type"}
    for name, value in content.items():
        # A switch that is on, or a group of settings, may change the computation; a single number does not.
        if name not in known and (value is True or (isinstance(value, dict | list) and value)):
            raise CheckpointError(
                f"{path}: {name} is {value!r}, which gemtab does not know. It could change the adapter's computation. "
                f"{MERGE_WITH_PEFT}"
            )


def _is_end(name: str, whole: str) -> bool:
    return f".{whole}".endswith(f".{name}")


def _whole_or_end(expressions: Iterable[str]) -> Patterns:
    return Patterns(expressions, "match", (r"(.*\.)?(", ")$"))


def _values(by_pattern: Mapping[str, Value], patterns: Patterns, target: str) -> list[Value]:
    """Return the values whose patterns (regular expressions) match the target's whole name or its end."""
    starts = patterns.found(target) if by_pattern else []
    return [value for value, start in zip(by_pattern.values(), starts, strict=True) if start is not None]
