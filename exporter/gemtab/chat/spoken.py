"""Keeps what is said apart from what the template writes. Mirrors webruntime/src/input/spoken.ts.

Control tokens spelled out in messages and tools are text. Before the template sees such a string, the first character
of each control token in it gives way to a twin, a character of a private plane that nothing else uses; so does a
character where a control token is cut by the string's end. White space inside is looked past. Templates may trim, join
and filter: no control token comes of these strings. Twins are turned back when the prompt is cut into tokens.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gemtab.chat.facts import FIRST_TWIN

Twins = Mapping[str, str]
"""Stand-ins by the character that they stand for."""


@dataclass(frozen=True)
class Piece:
    """A piece of a prompt; as_text: a control token's characters that are to be text."""

    text: str
    as_text: bool


Cut = Callable[[str], list[Piece]]
"""Cuts a prompt into pieces that are each to be encoded alone."""


def whole(prompt: str) -> list[Piece]:
    """A prompt whose text is what it says."""
    return [Piece(prompt, as_text=False)]


@dataclass
class _Node:
    next: dict[str, "_Node"] = field(default_factory=dict)
    ends: bool = False


class ControlTokens:
    """The tokens, as they are written, that text of messages never becomes."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = [token for token in tokens if token]
        self._forward = _trie(self._tokens)
        self._backward = _trie(token[::-1] for token in self._tokens)
        self._edges = sorted({edge for token in self._tokens for edge in (token[0], token[-1])})
        self._edge_set = frozenset(self._edges)
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def without(self, *tokens: str) -> "ControlTokens":
        """The same without some of the tokens."""
        return ControlTokens(token for token in self._tokens if token not in tokens)

    def twins(self, texts: Sequence[str], others: Sequence[str]) -> Twins | None:
        """Twins for these texts, which neither they nor the others have; None where no text can hold control tokens."""
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
        """`text` with twins in it; everywhere: for each character that a control token could begin or end with."""
        if everywhere:
            return "".join(twins.get(character, character) for character in text)
        characters = list(text)
        for place in self._places(text):
            characters[place] = twins.get(characters[place], characters[place])
        return "".join(characters)

    def found(self, text: str) -> list[str]:
        """The control tokens in a text, in order."""
        return self._pattern.findall(text)

    def pieces(self, text: str, twins: Twins) -> list[Piece]:
        """A guarded prompt in pieces that are each to be encoded alone."""
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

    def _places(self, text: str) -> set[int]:
        """Indices of the characters that get twins."""
        if not any(edge in text for edge in self._edges):
            return set()
        edges = [i for i, character in enumerate(text) if character in self._edge_set]
        begins = (i for i in edges if _runs_into(self._forward, text, range(i, len(text)), whole=True))
        return {*begins, *(i for i in edges if _runs_into(self._backward, text, range(i, -1, -1), whole=False))}


def reread(text: str, twins: Twins) -> str:
    """Twins that a template has printed as Python or JSON escapes, as themselves."""
    for twin in twins.values():
        text = text.replace(_printed(ord(twin)), twin).replace(_as_json(ord(twin)), twin)
    return text


def strings_in(value: object) -> Iterator[str]:
    """The strings in a value, keys included."""
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
    """`value` with its strings changed, keys included. `change` gets a string and the keys that lead to it."""
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
    """Whether along `way` a word of the trie begins and is cut by the text's end. whole: a whole word counts too."""
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
