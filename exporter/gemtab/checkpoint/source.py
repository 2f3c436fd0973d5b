"""Open a checkpoint: a folder as transformers saves it, or a GGUF file."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gemtab.bundle import limits
from gemtab.bundle.reading import max_bytes
from gemtab.checkpoint.compressed import PACKED, CompressedTensors
from gemtab.checkpoint.config import parse_config, read_config
from gemtab.checkpoint.gguf import GgufChatFiles, GgufFile, GgufTensors, gguf_config
from gemtab.checkpoint.head import with_own_head
from gemtab.checkpoint.missing import ADAPTER_CONFIG, check_no_pointer
from gemtab.checkpoint.naming import Name, name_of
from gemtab.checkpoint.spec import CheckpointSpec
from gemtab.checkpoint.tensors import Checkpoint, Tensors
from gemtab.checkpoint.text_prefix import check_one_prefix, find_text_prefix
from gemtab.errors import CheckpointError
from gemtab.regular import read_regular

ADDITIONAL_TEMPLATES = "additional_chat_templates"
"""Folder of additional chat templates, beside the default one."""


class Files(Protocol):
    """The text files of a checkpoint: configs, tokenizer, template."""

    @property
    def where(self) -> Path:
        """The checkpoint's path."""
        ...

    def text(self, name: str) -> str:
        """Return the content of the file `name`. Raises CheckpointError where it is missing or damaged."""
        ...

    def find(self, name: str) -> str | None:
        """Return the content of the file `name`; None where it is missing. Raises CheckpointError where it cannot be
        read."""
        ...

    def additional_templates(self) -> Mapping[str, str]:
        """Return additional chat templates by name."""
        ...

    def notes(self) -> Iterable[str]:
        """Yield notes on the files that hold for every export."""
        ...

    def licence(self) -> str | None:
        """Return the weights' licence, if stated."""
        ...


@dataclass(frozen=True)
class Opened:
    """A checkpoint whose headers have been read."""

    name: Name
    spec: CheckpointSpec
    tensors: Tensors
    files: Files


def parse_object(text: str, where: str) -> dict[str, Any]:
    """Parse the JSON object in a file. Raises CheckpointError where the text is not a JSON object."""
    try:
        found = json.loads(text, parse_constant=_reject)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} cannot be read: {error}. Save it again, or download it again.") from None
    if not isinstance(found, dict):
        raise CheckpointError(
            f"{where} contains {type(found).__name__}; expected a JSON object. Save it again, or download it again."
        )
    return found


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON, and browsers do not read it")


def read_object(files: Files, name: str) -> dict[str, Any] | None:
    """Read the JSON object in the file `name`; None where the file is missing. Raises as parse_object does."""
    text = files.find(name)
    return None if text is None else parse_object(text, f"{files.where}: {name}")


def is_config_file(path: Path) -> bool:
    """Whether `path` is a single config.json, under any name."""
    if not os.path.isfile(path):  # also False for a name that is too long, or a circular link
        return False
    with path.open("rb") as file:
        return path.suffix == ".json" or file.read(64).lstrip().startswith(b"{")


def open_checkpoint(path: Path) -> Opened:
    """Open the folder or GGUF file. Raises CheckpointError where it is damaged, or of a kind that gemtab does not
    know."""
    if is_config_file(path):
        raise CheckpointError(f"{path} is a config without weights. Give the folder of the whole checkpoint.")
    if path.is_file():
        file = GgufFile(path)
        spec = parse_config(gguf_config(file), f"{path}, as config.json")
        return _opened(name_of(path, file.text("general.name")), spec, GgufTensors(file), GgufChatFiles(file))
    spec, checkpoint = read_config(path), Checkpoint.open(path)
    prefix = find_text_prefix(checkpoint.names(), path)
    check_one_prefix(checkpoint, prefix)
    return _opened(name_of(path), spec.with_text_prefix(prefix), _tensors(checkpoint), FolderFiles(path))


def _opened(name: Name, spec: CheckpointSpec, tensors: Tensors, files: Files) -> Opened:
    return Opened(name, with_own_head(spec, tensors), tensors, files)


def load_spec(folder: Path) -> CheckpointSpec:
    """Read the spec of the checkpoint in `folder`, or of the bundle there, which has no safetensors.

    With weights, the tensors decide the text prefix and whether the head is tied; without, config.json does. Raises as
    open_checkpoint does.
    """
    return open_checkpoint(folder).spec if Checkpoint.is_in(folder) else read_config(folder)


def _tensors(checkpoint: Checkpoint) -> Tensors:
    packed = any(name.endswith(PACKED) for name in checkpoint.names())
    return CompressedTensors(checkpoint) if packed else checkpoint


class FolderFiles:
    """The text files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> Path:
        """The folder."""
        return self._folder

    def text(self, name: str) -> str:
        """See Files."""
        text = self.find(name)
        if text is None:
            raise CheckpointError(
                f"{self._folder / name} is missing. Download the checkpoint again, with all its files."
            )
        if name.endswith(".json"):
            parse_object(text, str(self._folder / name))
        return text

    def find(self, name: str) -> str | None:
        """See Files."""
        path = self._folder / name
        try:
            # Some editors begin a file with a byte-order mark, which is not JSON. transformers keeps it in templates.
            content = read_regular(path, max_bytes(name) or limits.TEMPLATE_BYTES)
            text = content.decode("utf-8-sig" if path.suffix == ".json" else "utf-8")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}. Save it again, or download it again.") from None
        check_no_pointer(path, text)
        return text

    def additional_templates(self) -> dict[str, str]:
        """Return the templates that newer releases save beside the default one."""
        found = sorted((self._folder / ADDITIONAL_TEMPLATES).glob("*.jinja"))
        texts = {path.stem: self.find(f"{ADDITIONAL_TEMPLATES}/{path.name}") for path in found}
        return {name: text for name, text in texts.items() if text is not None}

    def notes(self) -> tuple[str, ...]:
        """Return a note on an adapter beside the weights: transformers would apply it."""
        if not ((self._folder / ADAPTER_CONFIG).exists() and Checkpoint.is_in(self._folder)):
            return ()
        note = (
            f"An adapter is beside the weights ({ADAPTER_CONFIG}). It is applied only if --adapter names this folder; "
            "leave --adapter out if the adapter was merged into the weights."
        )
        return (note,)

    def licence(self) -> str | None:
        """Return the licence in the YAML head of README.md, as model hubs have it."""
        try:
            text = read_regular(self._folder / "README.md", limits.CONFIG_BYTES).decode("utf-8")
        except (OSError, ValueError):
            return None
        head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        found = head and re.search(r"^license:\s*(\S+)\s*$", head[1], re.MULTILINE)
        return found[1].strip("'\"") if found else None
