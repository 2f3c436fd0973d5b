"""Parse the model's answer into text, thoughts and tool calls."""

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from gemtab.chat.facts import FENCE, THOUGHT
from gemtab.chat.tokenizer import Detokenizer, Piece

PartKind = Literal["text", "thought", "tool_call"]
State = Literal["text", "channel", "thought", "call"]
"""channel: inside a channel's name, up to the end of its line. call: inside a tool call, up to its closing token."""


CALL = re.compile(r"call:([^{]+)\{(.*)\}", re.DOTALL)
"""A tool call without the white space around it."""


@dataclass(frozen=True)
class AnswerPart:
    """A piece of text or of a thought, as it arrives, or a whole tool call in the wire format `call:name{…}`."""

    kind: PartKind
    text: str


class Pieces(Protocol):
    """Converts ids to pieces: see ChatTokenizer."""

    def piece(self, id: int) -> Piece:  # noqa: A002
        """Return the piece that `id` adds to a text."""
        ...


class AnswerParser:
    r"""Reads Gemma 4's wire format: `<|channel>thought\n … <channel|>`, text, `<|tool_call>call:name{…}<tool_call|>`.

    Only special tokens mark structure. The same characters in ordinary tokens are text.
    """

    def __init__(self, tokenizer: Pieces) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer()
        self._state: State = "text"
        self._held = ""
        self._fences = 0
        """Number of fences in `_held` that were special tokens."""

    def push(self, id: int) -> list[AnswerPart]:  # noqa: A002
        """Return the parts that `id` adds or completes."""
        piece = self._tokenizer.piece(id)
        if piece.kind != "special":
            return self._take(self._detokenizer.push(piece))
        return self._mark(piece.text)

    def end(self) -> list[AnswerPart]:
        """Return the parts that remain when the answer ends, complete or not."""
        return self._enter("text")

    def _take(self, text: str) -> list[AnswerPart]:
        if not text:
            return []
        if self._state == "text" or self._state == "thought":
            return [AnswerPart(self._state, text)]
        self._held += text
        if self._state == "channel" and "\n" in self._held:
            name, rest = self._held.split("\n", 1)
            self._held = ""
            self._state = "thought" if name.strip() == THOUGHT else "text"
            return self._take(rest)
        return []

    def _mark(self, token: str) -> list[AnswerPart]:
        entered: dict[str, State] = {
            "<|channel>": "channel",
            "<|tool_call>": "call",
            "<channel|>": "text",
            "<tool_call|>": "text",
        }
        if token in entered:
            return self._enter(entered[token])
        # Other special tokens are not shown. In a tool call, where only strings have fences, they end the call.
        if self._state != "call":
            return []
        if token != FENCE:
            return self._enter("text")
        self._held += self._detokenizer.end() + token
        self._fences += 1
        return []

    def _enter(self, state: State) -> list[AnswerPart]:
        parts = [*self._take(self._detokenizer.end()), *self._close()]
        self._state = state
        return parts

    def _close(self) -> list[AnswerPart]:
        """Return the held text as a part. An incomplete or malformed call, a call whose fences are ordinary tokens, and
        a channel without a name are text as written."""
        held, state, fences = self._held, self._state, self._fences
        self._held, self._state, self._fences = "", "text", 0
        if not held or (state == "channel" and THOUGHT.startswith(held.strip())):
            return []
        call = CALL.fullmatch(held.strip()) if state == "call" and held.count(FENCE) == fences else None
        name = call[1].strip() if call else ""
        return [AnswerPart("tool_call", f"call:{name}{{{call[2]}}}") if call and name else AnswerPart("text", held)]
