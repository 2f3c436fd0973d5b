"""Rebuild a chat's files from a GGUF file's metadata."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gemtab.checkpoint.gguf.config import gguf_config
from gemtab.checkpoint.gguf.file import GgufFile
from gemtab.checkpoint.gguf.names import TOWERS
from gemtab.checkpoint.gguf.tokenizer import build_tokenizer, retyped
from gemtab.errors import CheckpointError

ENDINGS = ("<eos>", "<end_of_turn>", "<turn|>", "<|tool_response>")
"""Tokens at which Gemma's answers end: a GGUF file names only one or two of them."""

CONTINUATION = """{{ bos_token }}
{%- for message in messages -%}
    {{ message['content'] }}
{%- endfor -%}
"""
"""The template for a file without one, a model that was not trained to chat: the model continues the text."""


class GgufChatFiles:
    """See `gemtab.checkpoint.source.Files`."""

    def __init__(self, file: GgufFile) -> None:
        self._file = file
        self._makers: dict[str, Callable[[], str]] = {
            "config.json": lambda: _json(gguf_config(file)),
            "tokenizer.json": lambda: build_tokenizer(file).to_str(),
            "tokenizer_config.json": lambda: _json(self._tokenizer_config()),
            "generation_config.json": lambda: _json(self._generation_config()),
            "chat_template.jinja": lambda: file.text("tokenizer.chat_template") or CONTINUATION,
        }

    @property
    def where(self) -> Path:
        """The file."""
        return self._file.path

    def text(self, name: str) -> str:
        """Return the content of the file `name`. Raises CheckpointError where the metadata has nothing for it."""
        if name not in self._makers:
            raise CheckpointError(f"{self.where}: the metadata of a GGUF file has nothing for {name}.")
        return self._makers[name]()

    def find(self, name: str) -> str | None:
        """See Files."""
        return self._makers[name]() if name in self._makers else None

    def notes(self) -> tuple[str, ...]:
        """Return notes on differences from the file, and on parts that are left out."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        if not self._file.text("tokenizer.chat_template"):
            yield (
                "The file has no chat template (tokenizer.chat_template): the model continues the text, without turns. "
                "If the model was trained to chat, convert it again with its template."
            )
        if tokens := retyped(self._file):
            yield (
                f"The file has {', '.join(tokens)} as ordinary text. They are control tokens, and are matched as such, "
                "as in llama.cpp."
            )
        beside = [path.name for path in sorted(self.where.parent.glob("*mmproj*.gguf")) if path.name != self.where.name]
        towers = any(name.startswith(TOWERS) for name in self._file.tensors)
        if beside or towers:
            location = f"in {beside[0]}, beside the file" if beside else "in the file, but not read"
            yield (
                f"The bundle takes only text: the vision and audio parts are {location}. For images and audio, export "
                "the folder in transformers' format."
            )

    def additional_templates(self) -> dict[str, str]:
        """Return the templates that llama.cpp's key names beside the default one."""
        names = self._file.strings("tokenizer.chat_templates")
        found = {name: self._file.text(f"tokenizer.chat_template.{name}") for name in names}
        return {name: text for name, text in found.items() if text is not None}

    def licence(self) -> str | None:
        """Return the licence that the file names."""
        return self._file.general.license

    def _tokenizer_config(self) -> dict[str, Any]:
        found = self._file.vocabulary
        roles = {"bos": found.bos, "eos": found.eos, "unk": found.unknown, "pad": found.padding}
        named = {f"{role}_token": found.token(index) for role, index in roles.items()}
        return {
            "tokenizer_class": "GemmaTokenizer",
            "clean_up_tokenization_spaces": False,
            **{name: token for name, token in named.items() if token is not None},
        }

    def _generation_config(self) -> dict[str, Any]:
        found, general = self._file.vocabulary, self._file.general
        ids = {index for index, token in enumerate(found.tokens) if token in ENDINGS}
        ids |= {index for index in (found.eos, found.eot, found.eom) if index is not None}
        if not ids:
            raise CheckpointError(
                f"{self.where} has no token that ends an answer (tokenizer.ggml.eos_token_id). Convert the model again."
            )
        sampling = {"temperature": general.temperature, "top_k": general.top_k, "top_p": general.top_p}
        return {"eos_token_id": sorted(ids), "do_sample": True, **sampling}


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
