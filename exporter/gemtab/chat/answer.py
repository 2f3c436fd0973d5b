"""Takes what the model writes apart: its thoughts, its words, its calls of tools."""

from dataclasses import dataclass
from typing import Literal

from gemtab.chat.tokenizer import ChatTokenizer, Detokenizer

PartKind = Literal["text", "thought", "tool_call"]
State = Literal["text", "channel", "thought", "call"]
"""channel: in the name of a channel, up to its line's end; call: in a tool call, up to its closing token."""


@dataclass(frozen=True)
class AnswerPart:
    """A stretch of words or of thoughts as it comes, or a whole tool call in the wire format, `call:name{…}`."""

    kind: PartKind
    text: str


class AnswerParser:
    r"""Reads Gemma 4's wire format: `<|channel>thought\n … <channel|>`, words, `<|tool_call>call:name{…}<tool_call|>`.

    Only the special tokens count: the same characters spelled by ordinary tokens are text.
    """

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer()
        self._state: State = "text"
        self._held = ""

    def push(self, id: int) -> list[AnswerPart]:  # noqa: A002
        """The parts that `id` adds or completes."""
        piece = self._tokenizer.piece(id)
        if piece.kind != "special":
            return self._take(self._detokenizer.push(piece))
        return [*self._take(self._detokenizer.end()), *self._mark(piece.text)]

    def end(self) -> list[AnswerPart]:
        """What is left when the answer ends, be it in the middle of something."""
        return [*self._take(self._detokenizer.end()), *self._enter("text")]

    def _take(self, text: str) -> list[AnswerPart]:
        if not text:
            return []
        if self._state == "text" or self._state == "thought":
            return [AnswerPart(self._state, text)]
        self._held += text
        if self._state == "channel" and "\n" in self._held:
            name, rest = self._held.split("\n", 1)
            self._held = ""
            self._state = "thought" if name.strip() == "thought" else "text"
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
        if self._state == "call":
            # A string's fence, <|"|>, belongs to the call's arguments.
            self._held += token
        return []

    def _enter(self, state: State) -> list[AnswerPart]:
        parts = [AnswerPart("tool_call", self._held)] if self._state == "call" and self._held else []
        self._held = ""
        self._state = state
        return parts
