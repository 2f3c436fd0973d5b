"""The tokenizer and chat template that training code saves beside an adapter."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from gemtab.chat.generation_config import GENERATION_CONFIG_NAME, KEY
from gemtab.chat.template import TOKENIZER_CONFIG_NAME
from gemtab.chat.tokenizer import TOKENIZER_NAME
from gemtab.chat_files.panics import without_panics
from gemtab.chat_files.template import find_template, has_template
from gemtab.checkpoint.naming import name_of
from gemtab.checkpoint.source import Files, FolderFiles, read_object

_MEANING: Final = ("normalizer", "pre_tokenizer", "decoder")
_MARKS: Final = ("content", "special", "single_word", "lstrip", "rstrip", "normalized")
_ROLES: Final = ("bos_token", "eos_token", "unk_token")
_PROBES: Final = (
    "Hello, world",
    "  two  spaces ", "\ttab\n\nline\r\n", "na\u00efve cafe\u0301", "\ufb01 \u3000 \u00a0x", "12345 3.14",
    "\u65e5\u672c\u8a9e", "\U0001f469\u200d\U0001f467!", "a\u2581b", "x<bos>y", "\ufeffCamelCase_and-more",
)  # fmt: skip
"""Texts to compare tokenizers that are written differently."""


@dataclass(frozen=True)
class OwnFiles:
    """The chat files of a base or an adapter. tokenizer, special: contents of tokenizer.json and tokenizer_config.json,
    empty where missing. template: None where missing."""

    name: str
    files: Files
    tokenizer: Mapping[str, Any]
    special: Mapping[str, Any]
    template: str | None

    @property
    def tokens(self) -> dict[int, str]:
        """The added tokens by id."""
        return {number: token["content"] for number, token in self._added().items()}

    @property
    def ends(self) -> list[int]:
        """The ids that end an answer, by the tokenizer and generation_config.json."""
        found = (read_object(self.files, GENERATION_CONFIG_NAME) or {}).get(KEY)
        listed = found if isinstance(found, list) else [found]
        roles: dict[object, int] = {token: number for number, token in self.tokens.items()}
        return [one for one in (roles.get(_content(self.special.get("eos_token"))), *listed) if isinstance(one, int)]

    def writes_as(self, base: "OwnFiles") -> bool:
        """Whether the tokenizer gives the same ids as that of `base`, and the same roles to the same tokens. Training
        code rewrites files, so equal tokenizers differ in their text."""
        model, other = self.tokenizer.get("model", {}), base.tokenizer.get("model", {})
        same = model.get("vocab") == other.get("vocab") and _merges(model) == _merges(other)
        same = same and self._marks() == base._marks()
        same = same and (
            all(self.tokenizer.get(key) == base.tokenizer.get(key) for key in _MEANING)
            or _pieces(self.tokenizer) == _pieces(base.tokenizer)
        )
        return same and all(
            _content(self.special[role]) == _content(base.special[role])
            for role in _ROLES
            if role in self.special and role in base.special
        )

    def _added(self) -> dict[int, Mapping[str, Any]]:
        listed = self.tokenizer.get("added_tokens")
        tokens = listed if isinstance(listed, list) else []
        return {one["id"]: one for one in tokens if isinstance(one, dict) and {"id", "content"} <= one.keys()}

    def _marks(self) -> dict[int, list[object]]:
        return {number: [token.get(mark) for mark in _MARKS] for number, token in self._added().items()}


def read_own(name: str, files: Files) -> OwnFiles:
    """Read the files of a chat from one location. Raises CheckpointError where one cannot be read."""
    tokenizer = read_object(files, TOKENIZER_NAME) or {}
    special = read_object(files, TOKENIZER_CONFIG_NAME) or {}
    template = find_template(files).text if has_template(files) else None
    return OwnFiles(name, files, tokenizer, special, template)


def read_adapter(folder: Path) -> OwnFiles:
    """Read the chat files of the adapter in `folder`."""
    return read_own(name_of(folder).text, FolderFiles(folder))


def _pieces(tokenizer: Mapping[str, Any]) -> list[list[int]]:
    """Return the ids of the probes; none where the tokenizer cannot be read."""
    try:
        with without_panics():
            pipeline = Tokenizer.from_str(json.dumps({**tokenizer, "truncation": None, "padding": None}))
            return [pipeline.encode(text, add_special_tokens=False).ids for text in _PROBES]
    except ValueError:
        return []


def _merges(model: Mapping[str, Any]) -> list[str]:
    """Return the merges as strings; some releases write pairs."""
    return [one if isinstance(one, str) else " ".join(map(str, one)) for one in model.get("merges") or []]


def _content(token: object) -> object:
    """Return the text of a token, which may be an object."""
    return token.get("content") if isinstance(token, dict) else token
