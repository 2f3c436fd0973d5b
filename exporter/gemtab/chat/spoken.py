"""Keep users' text apart from the template's own tokens. Twin: webruntime/src/input/spoken.ts.

Control tokens spelled out in messages and tools are text. Before the template sees such a string, a twin (a private-use
character that occurs nowhere else) replaces the first character of each control token in the string, and each character
with which a control token could continue beyond the string's ends. White space inside control tokens is ignored.
Templates may trim, join and filter strings: no control token can result. When the prompt is cut into tokens, twins
become the original characters again.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gemtab.chat.facts import FIRST_TWIN

Twins = Mapping[str, str]
"""The twin of each character."""


@dataclass(frozen=True)
class Piece:
    """A piece of a prompt. as_text: the piece spells a control token that is to be text."""

    text: str
    as_text: bool


Cut = Callable[[str], list[Piece]]
"""Cuts a prompt into pieces, each to be encoded separately."""


def whole(prompt: str) -> list[Piece]:
    """Return a prompt without twins as one piece."""
    return [Piece(prompt, as_text=False)]


@dataclass
class _Node:
    next: dict[str, "_Node"] = field(default_factory=dict)
    ends: bool = False


class ControlTokens:
    """The control tokens, as they are spelled. Users' text never becomes one of them."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = [token for token in tokens if token]
        self._forward = _trie(self._tokens)
        self._backward = _trie(token[::-1] for token in self._tokens)
        self._edges = sorted({edge for token in self._tokens for edge in (token[0], token[-1])})
        self._edge_set = frozenset(self._edges)
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def without(self, *tokens: str) -> "ControlTokens":
        """Return these control tokens without `tokens`."""
        return ControlTokens(token for token in self._tokens if token not in tokens)

    def twins(self, texts: Sequence[str], others: Sequence[str]) -> Twins | None:
        """Return twins that occur neither in `texts` nor in `others`; None where no text can contain a control
        token."""
        if not any(edge in text for edge in self._edges for text in texts):
            return None
        joined = "\n".join([*texts, *others]).lower()
        twins = {}
        code = FIRST_TWIN
        for edge in self._edges:
            while any(form in joined for form in (chr(code), _printed(code).lower(), _as_json(code))):
                code += 1
            twins[edge] = chr(code)
            code += 1
        return twins

    def guard(self, text: str, twins: Twins, everywhere: bool = False) -> str:
        """Return `text` with twins. everywhere: replace each character with which a control token can begin or end."""
        if everywhere:
            return "".join(twins.get(character, character) for character in text)
        characters = list(text)
        for index in self._guarded(text):
            characters[index] = twins.get(characters[index], characters[index])
        return "".join(characters)

    def found(self, text: str) -> list[str]:
        """Return the control tokens in a text, in order."""
        return self._pattern.findall(text)

    def pieces(self, text: str, twins: Twins) -> list[Piece]:
        """Cut a guarded prompt into pieces, each to be encoded separately."""
        back = str.maketrans({twin: character for character, twin in twins.items()})
        pieces: list[Piece] = []
        opened = ""
        at = 0
        for own in [*self._pattern.finditer(text), None]:
            between = text[at : own.start() if own else None].translate(back)
            done = 0
            for said in self._pattern.finditer(between):
                pieces += [Piece(opened + between[done : said.start()], as_text=False), Piece(said[0], as_text=True)]
                opened, done = "", said.end()
            opened += between[done:] + (own[0] if own else "")
            at = own.end() if own else len(text)
        return [piece for piece in [*pieces, Piece(opened, as_text=False)] if piece.text]

    def _guarded(self, text: str) -> set[int]:
        """Return the indices of the characters that get twins."""
        if not any(edge in text for edge in self._edges):
            return set()
        edges = [i for i, character in enumerate(text) if character in self._edge_set]
        begins = (i for i in edges if _runs_into(self._forward, text, range(i, len(text)), whole=True))
        return {*begins, *(i for i in edges if _runs_into(self._backward, text, range(i, -1, -1), whole=False))}


def reread(text: str, twins: Twins) -> str:
    """Restore twins that a template has printed as Python or JSON escapes."""
    for twin in twins.values():
        text = text.replace(_printed(ord(twin)), twin).replace(_as_json(ord(twin)), twin)
    return text


def strings_in(value: object) -> Iterator[str]:
    """Yield the strings in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from strings_in(key)
            yield from strings_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from strings_in(one)


def map_strings(value: object, change: Callable[[str, str], str], path: str = "") -> Any:  # noqa: ANN401
    """Return `value` with its strings changed, keys included. change: called with a string and the path of its keys."""
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, Mapping):
        return {
            map_strings(key, change, f"{path}."): map_strings(one, change, f"{path}.{key}")
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [map_strings(one, change, f"{path}[]") for one in value]
    return value


def _trie(words: Iterable[str]) -> _Node:
    root = _Node()
    for word in words:
        node = root
        for character in word:
            if not character.isspace():
                node = node.next.setdefault(character, _Node())
        node.ends = True
    return root


def _runs_into(root: _Node, text: str, way: range, whole: bool) -> bool:
    """Whether a word of the trie begins along `way` and the text's end cuts it. whole: a whole word counts too."""
    node = root
    for i in way:
        character = text[i]
        if character.isspace() and i != way.start:
            continue
        if character not in node.next:
            return False
        node = node.next[character]
        if whole and node.ends:
            return True
    return True


def _printed(code: int) -> str:
    return f"\\U{code:08x}"


def _as_json(code: int) -> str:
    units = chr(code).encode("utf-16-be").hex()
    return f"\\u{units[:4]}\\u{units[4:]}"
