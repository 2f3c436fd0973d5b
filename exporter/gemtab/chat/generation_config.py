"""A bundle's generation_config.json: end tokens, and the sampling of the model's authors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from gemtab.bundle.reading import read_object
from gemtab.chat.checks import expected, fits
from gemtab.errors import BundleError

GENERATION_CONFIG_NAME = "generation_config.json"
KEY = "eos_token_id"
AGAIN = "Export the checkpoint again."


@dataclass(frozen=True)
class GenerationConfig:
    """stop: ids that end an answer. top_k: 0 is off. top_p: 1 is off."""

    stop: frozenset[int]
    top_k: int
    top_p: float


def read_generation_config(folder: Path) -> GenerationConfig:
    """Read the file. Raises BundleError where it is missing or damaged, has no end token, or has an invalid setting."""
    path = folder / GENERATION_CONFIG_NAME
    config = read_object(folder, GENERATION_CONFIG_NAME)
    found = config.get(KEY)
    stop = frozenset(one for one in (found if isinstance(found, list) else [found]) if _is_id(one))
    if not stop:
        raise BundleError(
            f"{path}: {KEY} is {found!r}; expected an id or a list of ids that end an answer. Export the checkpoint "
            "again."
        )
    if not isinstance(config.get("do_sample"), bool | None):
        raise BundleError(f"{path}: do_sample is {config['do_sample']!r}; expected true or false. {AGAIN}")
    _number(config, "temperature", 1.0, path)
    return GenerationConfig(stop, int(_number(config, "top_k", 0, path)), _number(config, "top_p", 1.0, path))


def _is_id(found: object) -> TypeGuard[int]:
    return isinstance(found, int) and not isinstance(found, bool) and found >= 0


def _number(config: Mapping[str, Any], name: str, off: float, path: Path) -> float:
    """Return the setting; `off` where it is missing or null."""
    found = config.get(name)
    if found is None:
        return off
    if not fits(name, found):
        raise BundleError(f"{path}: {name} is {found!r}; expected {expected(name)}. {AGAIN}")
    return float(found)
