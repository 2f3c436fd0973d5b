"""Random conversations with tools, and texts with special cases of text code."""

import random
import unicodedata
from typing import Any

EDGES: list[str] = [
    *" \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u200b\u2028\u2029\u202f\u3000\ufeff",
    *"<>|'\"\\{}[]%#&/",
    *"éßİıǆŉﬀ日😀𝔘\u0301\u200d\x00\x7f\ue000\uffff",
]
"""Characters that Python and JavaScript treat differently: white space, cases, quotes, other planes."""

WORDS = ["hello", "the ", "Grüße", "a_b", "1.5", "```py\nx = 1\n```", "C:\\n\\u0041", "日本語", "e\u0301", "ONE two"]
TYPES = ["string", "integer", "number", "boolean", "array", "object", "null", "String", ""]
NUMBERS: list[Any] = [0, 1, -7, 3.0, -0.0, 1e-07, 1e16, 1e15, 0.1, 2**53 + 1, -(2**70), 123456.789, 1e22, 5e-324]
KEYS = ["x", "B", "a", "é", "ß", "😀", "ﬀ", "10", "9", "type", "items", "Z", "İ", "description", "get"]


class Dice(random.Random):
    """Draws conversations. tokens: tokens that may be spelled out in texts."""

    def __init__(self, seed: int, tokens: list[str]) -> None:
        super().__init__(seed)
        self.tokens: list[str] = tokens

    def text(self, pieces: int = 5) -> str:
        """Return a text of at most `most` pieces."""
        return "".join(self._piece() for _ in range(self.randrange(pieces + 1)))

    def _piece(self) -> str:
        kind = self.random()
        if self.tokens and kind < 0.25:
            token: str = self.choice(self.tokens)
            return token if kind < 0.2 else token[: self.randrange(1, len(token) + 1)]
        if kind < 0.55:
            return self.choice(EDGES)
        if kind < 0.9:
            return self.choice(WORDS)
        return self.character()

    def character(self) -> str:
        """Return any character of Python's Unicode: a browser's is newer, and prints unknown characters as escapes."""
        while True:
            found = chr(self.choice([self.randrange(0x20, 0x3000), self.randrange(0x3000, 0x110000)]))
            if unicodedata.category(found) not in ("Cn", "Cs"):
                return found

    def value(self, depth: int = 2) -> Any:
        """Return a JSON value."""
        kind = self.randrange(8 if depth else 5)
        if kind < 2:
            return self.text(3)
        if kind == 2:
            return self.choice(NUMBERS)
        if kind < 5:
            return self.choice([None, True, False])
        if kind == 5:
            return [self.value(depth - 1) for _ in range(self.randrange(4))]
        return self.members(depth - 1)

    def members(self, depth: int = 2) -> dict[str, Any]:
        """Return a JSON object."""
        return {self.choice(KEYS): self.value(depth) for _ in range(self.randrange(5))}

    def schema(self, depth: int = 2) -> dict[str, Any]:
        """Return a JSON schema, as irregular as those of real tools."""
        made: dict[str, Any] = {}
        if self.random() < 0.8:
            made["type"] = self.choice(TYPES) if self.random() < 0.8 else self.sample(TYPES, self.randrange(1, 3))
        if self.random() < 0.5:
            made["description"] = self.text()
        if self.random() < 0.2:
            made["enum"] = [self.value(0) for _ in range(self.randrange(4))]
        if self.random() < 0.15:
            made["nullable"] = self.choice([True, False])
        if self.random() < 0.15:
            made["anyOf"] = [{"type": "string"}, {"type": "null"}]
        if self.random() < 0.1:
            made["$ref"] = "#/$defs/T"
        if self.random() < 0.1:
            made["default"] = self.value(1)
        if depth and self.random() < 0.3:
            made["items"] = self.schema(depth - 1) if self.random() < 0.9 else {}
        if depth and self.random() < 0.4:
            made["properties"] = {self.choice(KEYS): self.schema(depth - 1) for _ in range(self.randrange(4))}
            made["required"] = list(made["properties"])[: self.randrange(3)]
        return made

    def tool(self) -> dict[str, Any]:
        """Return a tool's declaration."""
        function: dict[str, Any] = {"name": self.choice(["f", "get_weather", "a.b"]), "description": self.text()}
        if self.random() < 0.8:
            parameters = self.schema()
            function["parameters"] = {"type": "object", "properties": {}, **parameters}
        if self.random() < 0.2:
            function["response"] = self.schema(1)
        return {"type": "function", "function": function}

    def content(self) -> Any:
        """Return a message's content."""
        if self.random() < 0.75:
            return self.text()
        return [{"type": "text", "text": self.text()} for _ in range(self.randrange(1, 4))]

    def messages(self) -> list[dict[str, Any]]:
        """Return turns of a user and a model, which may call tools."""
        made: list[dict[str, Any]] = []
        if self.random() < 0.4:
            made.append({"role": self.choice(["system", "system", "developer"]), "content": self.content()})
        for _ in range(self.randrange(1, 4)):
            made.append({"role": "user", "content": self.content()})
            if self.random() < 0.8:
                made += self._answer()
        return made

    def _answer(self) -> list[dict[str, Any]]:
        answer: dict[str, Any] = {"role": "assistant", "content": self.content() if self.random() < 0.8 else None}
        if self.random() < 0.3:
            answer[self.choice(["reasoning", "reasoning_content", "thinking"])] = self.text()
        if self.random() < 0.6:
            return [answer]
        answer["tool_calls"] = [self._call(i) for i in range(self.randrange(1, 3))]
        answers = [self._result(call) for call in answer["tool_calls"] if self.random() < 0.8]
        closing = [{"role": "assistant", "content": self.text()}] if self.random() < 0.5 else []
        return [answer, *answers, *closing]

    def _call(self, number: int) -> dict[str, Any]:
        given = self.members() if self.random() < 0.85 else 'x:<|"|>y<|"|>'
        return {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": given}}

    def _result(self, call: dict[str, Any]) -> dict[str, Any]:
        content = self.choice([self.text(), self.content(), self.choice(NUMBERS), self.members(1)])
        named = {"tool_call_id": call["id"]} if self.random() < 0.7 else {"name": "f"}
        return {"role": "tool", "content": content, **named}

    def conversation(self) -> dict[str, Any]:
        """Return messages, tools, and whether the model thinks."""
        tools = [self.tool() for _ in range(self.randrange(1, 3))] if self.random() < 0.6 else None
        return {"messages": self.messages(), "tools": tools, "thinking": self.random() < 0.3}
