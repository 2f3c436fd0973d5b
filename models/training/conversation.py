"""The shape of a training example: a conversation, and what the model should write next."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

Message = dict[str, Any]
Tool = dict[str, Any]

EMPTY_THOUGHT = "<|channel>thought\n<channel|>"
"""Text that the chat template writes before an answer when thinking is off."""


@dataclass
class Turn:
    """A user's message and the model's answer. thought: written before the answer when thinking is on."""

    user: str
    answer: str
    thought: str


@dataclass
class Example:
    """A conversation up to an answer.

    `messages`, `tools` and `thinking` go through the chat template; `target` is the text the model should write
    after it, without thought block or end token; `end` is the token it should stop with. `accept` are other targets
    that count as right, and `contains` a phrase that alone makes an answer right.
    """

    task: str
    messages: list[Message]
    target: str
    thought: str = ""
    tools: list[Tool] = field(default_factory=list)
    thinking: bool = False
    end: str = "<turn|>"
    contains: str = ""

    @property
    def continues_turn(self) -> bool:
        """True when the model goes on after a tool's answer, so that no new turn is opened."""
        return bool(self.messages[-1].get("tool_responses")) or self.messages[-1]["role"] == "tool"

    @property
    def completion(self) -> str:
        """All that the model should write after the rendered prompt, end token included."""
        thought = f"<|channel>thought\n{self.thought}\n<channel|>" if self.thinking and not self.continues_turn else ""
        return thought + self.target + self.end

    def is_right(self, written: str) -> bool:
        """Whether `written` (decoded with special tokens) gives the right answer, whatever the thoughts before it."""
        answer = written.rsplit("<channel|>", 1)[-1]
        if not answer.endswith(self.end):
            return False
        answer = answer.removesuffix(self.end).strip()
        return answer == self.target.strip() or bool(self.contains) and self.contains in answer


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def history(turns: list[Turn]) -> list[Message]:
    """The messages of finished turns."""
    return [message for turn in turns for message in (user(turn.user), assistant(turn.answer))]


def spoken(rng: Random, question: str, question_mark: bool = True) -> str:
    """A way a person may type `question` (lower case, no final sign): asked politely or curtly, capitals or none."""
    opening = rng.choice(
        ("", "", "", "", "", "", "please tell me, ", "hey, ", "so, ", "ok, ", "one question: ", "well, ")
    )
    closing = rng.choice(("", "", "", "", "", "", ", please", " please", " then", " exactly"))
    text = opening + question + (closing if question_mark else "")
    if rng.random() < 0.7:
        text = text[0].upper() + text[1:]
    sign = rng.choice(("?", "?", "?", "?", "", " ?", "??")) if question_mark else rng.choice((".", ".", "", "!"))
    return text + sign
