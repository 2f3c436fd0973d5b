"""adapter_config.json: what a merge needs of it, and the kinds of adapter that no merge can follow."""

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
"""Kinds of peft that add to the prompt, to the cache or a router, so that no checkpoint's weights can hold them."""

_OTHER_BASE: Final = {"pissa": "PiSSA", "olora": "OLoRA", "corda": "CorDA", "lora_ga": "LoRA-GA", "loftq": "LoftQ"}
"""Initialisations that take something out of the base's weights before training, by what their values begin with."""

_NOT_MERGED: Final = {
    "layer_replication": f"the adapter repeats layers of its base. {MERGE_WITH_PEFT}",
    "lora_bias": "the adapter adds biases, and the model's matrices have none. Train it again without them.",
    "alora_invocation_tokens": "the adapter acts only after certain tokens, which no weights can hold.",
    "use_qalora": f"the adapter is added to groups of columns of a GPTQ model. {MERGE_WITH_PEFT}",
    "use_bdlora": f"the adapter's matrices are stored in blocks. {MERGE_WITH_PEFT}",
    "arrow_config": "the adapter chooses among others for each token, which no weights can hold.",
    "kasa_config": f"KaSA changed the base's weights before training. {MERGE_WITH_PEFT}",
    "monteclora_config": f"the adapter is drawn at random around its values. {MERGE_WITH_PEFT}",
}
"""Settings that change what an adapter computes in ways that are not merged here."""

_HARMLESS: Final = {
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "target_modules", "exclude_modules", "lora_dropout", "fan_in_fan_out", "init_lora_weights", "layers_to_transform",
    "layers_pattern", "megatron_config", "megatron_core", "loftq_config", "eva_config", "corda_config",
    "lora_ga_config", "velora_config", "qalora_group_size", "runtime_config", "ensure_weight_tying",
}  # fmt: skip
"""Settings of peft that say how an adapter was made, or what its tensors show by themselves."""

_CLASSIFIERS: Final = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION")

Value = TypeVar("Value", int, float)
Rank = Annotated[int, Field(gt=0)]


class AdapterConfig(BaseModel):
    """What adapter_config.json says, as far as a merge needs it."""

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
        """What the adapter calls its base."""
        return str((self.model_extra or {}).get("base_model_name_or_path") or "not named")

    def rank(self, target: str, found: int) -> int:
        """The rank of what changes `target`, a module or parameter by the adapter's own name: the one that its tensors
        have, where any pattern says so. peft sorts patterns when it saves them, so that the first is not the first of
        the training."""
        ranks = _values(self.rank_pattern, self._ranked, target) or [self.r]
        return found if found in ranks else int(ranks[0])

    def scaling(self, target: str, rank: int) -> float:
        """What B A is multiplied by."""
        alpha = (_values(self.alpha_pattern, self._scaled, target) or [self.lora_alpha])[0]
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)

    def saves(self, module: str) -> bool:
        """Whether modules_to_save names the module: its parameters were trained as they are."""
        return any(f"{name}." in f"{module}." for name in self.modules_to_save)

    def token_indices(self, module: str) -> tuple[int, ...]:
        """The rows of the module that were trained one by one."""
        found = self.trainable_token_indices
        if not isinstance(found, dict):
            return found
        inside = (rows for name, rows in found.items() if _is_end(name, module) or _is_end(module, name))
        return next(inside, ())

    def target(self, module: str, parameter: str) -> str:
        """What patterns are matched with: the module's name, or the parameter's where that is the target."""
        name = f"{module}.{parameter}"
        return name if any(_is_end(each, name) for each in self.target_parameters) else module


def read_adapter_config(folder: Path) -> AdapterConfig:
    """The config of the adapter in `folder`. Raises CheckpointError where it is missing, damaged, or of a kind that
    cannot be merged here, with the reason and the way out."""
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
    """The tensors of the adapter in `folder`. Raises CheckpointError where they are missing, damaged, or in a file that
    gemtab does not open, with the reason and the way out."""
    if not (folder / WEIGHTS_NAME).exists():
        if (folder / PICKLE_NAME).exists():
            raise CheckpointError(
                f"{folder} has {PICKLE_NAME} alone, a pickle: opening one can run code, so gemtab reads safetensors. "
                "Load it with peft where you trust it, and save it again (save_pretrained)."
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
        return f"{path} is missing: there is no folder {folder}. An adapter is a folder as peft saves it."
    if (folder / "config.json").exists():
        return f"{path} is missing: {folder} is a checkpoint, no adapter. Export it by itself."
    inner = sorted(found.parent.name for found in folder.glob(f"*/{CONFIG_NAME}"))
    hint = f" Its subfolders {', '.join(inner)} have one: name one of them." if inner else ""
    return f"{path} is missing: an adapter is a folder as peft saves it.{hint}"


def _check_kind(content: Mapping[str, Any], path: Path) -> None:
    kind = content.get("peft_type")
    if kind is None:
        reason = (
            "the adapter is mlx-lm's. Fuse it there (mlx_lm.fuse), and export the result."
            if "fine_tune_type" in content
            else "it is no adapter as peft saves it. Save it with peft."
        )
        raise CheckpointError(f"{path} has no peft_type: {reason}")
    if kind != "LORA":
        reason = f"{path}: peft_type is {kind}; only LORA can be merged into a checkpoint here. "
        way = "No checkpoint can hold it, since it changes more than weights." if kind in _NO_WEIGHTS else None
        raise CheckpointError(reason + (way or MERGE_WITH_PEFT))
    task = content.get("task_type")
    if task in _CLASSIFIERS:
        raise CheckpointError(f"{path}: task_type is {task}: the adapter makes no chat model. Choose a CAUSAL_LM one.")


def _check_settings(content: Mapping[str, Any], path: Path) -> None:
    start = str(content.get("init_lora_weights")).lower()
    changed = next((name for key, name in _OTHER_BASE.items() if start.startswith(key)), None)
    if changed:
        raise CheckpointError(
            f"{path}: init_lora_weights is {content['init_lora_weights']!r}: {changed} changed the base's weights "
            "before training, so that the adapter does not fit the base as it was. Convert it to a plain LoRA "
            "(save_pretrained with path_initial_model_for_weight_conversion), or merge it where it was trained "
            "(merge_and_unload, save_pretrained) and export the result."
        )
    for name, reason in _NOT_MERGED.items():
        if content.get(name):
            raise CheckpointError(f"{path}: {name} is {content[name]!r}, which cannot be merged here: {reason}")
    known = _HARMLESS | {*_NOT_MERGED, *AdapterConfig.model_fields, "peft_type"}
    for name, value in content.items():
        # A switch that is on, or a group of settings, may change the computation; a number by itself does not.
        if name not in known and (value is True or (isinstance(value, dict | list) and value)):
            raise CheckpointError(
                f"{path}: {name} is {value!r}, which gemtab does not know; it could change what the adapter computes. "
                f"{MERGE_WITH_PEFT}"
            )


def _is_end(name: str, whole: str) -> bool:
    return f".{whole}".endswith(f".{name}")


def _whole_or_end(expressions: Iterable[str]) -> Patterns:
    return Patterns(expressions, "match", (r"(.*\.)?(", ")$"))


def _values(by_pattern: Mapping[str, Value], patterns: Patterns, target: str) -> list[Value]:
    """The values of the patterns that are the target's name or its end: patterns are regular expressions."""
    starts = patterns.found(target) if by_pattern else []
    return [value for value, start in zip(by_pattern.values(), starts, strict=True) if start is not None]
