"""A checkpoint as it is given: a folder as transformers saves it, or a GGUF file."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gemtab.checkpoint.compressed import PACKED, CompressedTensors
from gemtab.checkpoint.config import check_one_prefix, find_text_prefix, parse_config, read_config
from gemtab.checkpoint.gguf import GgufChatFiles, GgufFile, GgufTensors, gguf_config
from gemtab.checkpoint.head import with_own_head
from gemtab.checkpoint.tensors import Checkpoint, Tensors
from gemtab.errors import CheckpointError
from gemtab.model.spec import ModelSpec


class Files(Protocol):
    """The texts beside the weights: configs, tokenizer, template."""

    @property
    def where(self) -> Path:
        """Where they come from."""
        ...

    def text(self, name: str) -> str:
        """The content of the file called `name`; raises CheckpointError where it is missing or damaged."""
        ...

    def licence(self) -> str | None:
        """The weights' licence, where it is named."""
        ...


@dataclass(frozen=True)
class Opened:
    """A checkpoint whose headers were read. name: what to call it, which says nothing of where it lies."""

    name: str
    spec: ModelSpec
    tensors: Tensors
    files: Files


def open_checkpoint(path: Path) -> Opened:
    """Opens the folder or GGUF file. Raises CheckpointError where it is damaged, or of a kind that gemtab does not
    know."""
    if path.is_file():
        file = GgufFile(path)
        spec = parse_config(gguf_config(file), f"{path}, as config.json")
        return _opened(path.resolve().stem, spec, GgufTensors(file), GgufChatFiles(file))
    spec, checkpoint = read_config(path), Checkpoint.open(path)
    prefix = find_text_prefix(checkpoint.names(), path)
    check_one_prefix(checkpoint, prefix)
    return _opened(path.resolve().name, spec.with_text_prefix(prefix), _tensors(checkpoint), FolderFiles(path))


def _opened(name: str, spec: ModelSpec, tensors: Tensors, files: Files) -> Opened:
    return Opened(name, with_own_head(spec, tensors), tensors, files)


def load_spec(folder: Path) -> ModelSpec:
    """The spec of the checkpoint in `folder`, or of the bundle there, which has no safetensors.

    The text prefix and whether the head is tied come from the tensors where there are weights, from config.json where
    there are none. Raises as open_checkpoint does.
    """
    return open_checkpoint(folder).spec if Checkpoint.is_in(folder) else read_config(folder)


def _tensors(checkpoint: Checkpoint) -> Tensors:
    packed = any(name.endswith(PACKED) for name in checkpoint.names())
    return CompressedTensors(checkpoint) if packed else checkpoint


class FolderFiles:
    """Those of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> Path:
        """The folder."""
        return self._folder

    def text(self, name: str) -> str:
        """See Files."""
        path = self._folder / name
        try:
            text = path.read_text(encoding="utf-8")
            if name.endswith(".json"):
                json.loads(text)
        except FileNotFoundError:
            raise CheckpointError(
                f"{path} is missing, and a chat needs it; download the instruction-tuned checkpoint with all its files."
            ) from None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}. Download it again.") from None
        return text

    def licence(self) -> str | None:
        """The licence that the head of README.md names, as model hubs have it."""
        try:
            text = (self._folder / "README.md").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None
        head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        found = head and re.search(r"^license:\s*(\S+)\s*$", head[1], re.MULTILINE)
        return found[1].strip("'\"") if found else None
