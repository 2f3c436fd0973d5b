"""Impossible options and messages are rejected with an error that names them, and the conversation stays as it was."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gemtab.chat import ChatSession, Sampling
from gemtab.chat.checks import check_content, check_messages
from gemtab.chat.generation_config import read_generation_config
from gemtab.errors import BundleError, UsageError
from tests.chat.test_media import Counter
from tests.variants import TINY


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": "hot"}, "temperature: found 'hot'; expected a number from 0 on"),
        ({"temperature": -1.0}, "temperature: found -1.0; expected a number from 0 on"),
        ({"temperature": math.nan}, "temperature: found nan"),
        ({"temperature": math.inf}, "temperature: found inf"),
        ({"temperature": None}, "temperature: found None"),
        ({"top_k": 2.5}, "top_k: found 2.5; expected a whole number from 0 to 2147483647"),
        ({"top_k": True}, "top_k: found True"),
        ({"top_p": 7}, "top_p: found 7; expected a number from 0 to 1"),
        ({"seed": -1}, "seed: found -1; expected a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "seed: found 4294967296"),
    ],
)
def test_sampling(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Sampling(**settings)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("Hello!", "messages: found 'Hello!'; expected a list"),
        (None, "messages: found None; expected a list"),
        (["Hello!"], r"messages\[0\]: found 'Hello!'; expected a dictionary"),
        ([{"role": "User", "content": ""}], r"messages\[0\].role: 'User' is not known.* Did you mean \"user\"\?"),
        ([{"role": "model", "content": ""}], r"Choose one of \"system\", \"user\", \"assistant\", \"tool\""),
        ([{"content": ""}], r"messages\[0\].role: None is not known"),
        ([{"role": "user", "content": None}], r"messages\[0\].content: found None; expected text"),
        ([{"role": "user"}], r"messages\[0\].content: found None"),
        ([{"role": "user", "content": "", "contents": ""}], r"messages\[0\].contents: .* Did you mean \"content\"\?"),
        ([{"role": "assistant", "content": "", "tool_calls": ["add"]}], r"messages\[0\].tool_calls: found 'add'"),
    ],
)
def test_messages(messages: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_messages(messages)
    with pytest.raises(UsageError, match=message):
        ChatSession(TINY, Counter(), messages)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (7, "content: found 7; expected text, or a list of parts"),
        (["Hi"], r"content\[0\]: found 'Hi'; expected a part"),
        ([{"type": "text"}], r"content\[0\].text: found None; expected text"),
        (
            [{"type": "image_url", "medium": 1}],
            r"content\[0\].type: 'image_url' is not known.* Did you mean \"image\"\?",
        ),
        ([{"type": "image", "image": 1}], r"content\[0\].image: unknown member"),
        ([{"type": "image", "medium": b"x"}], r"content\[0\].medium: found a bytes; expected a Medium"),
    ],
)
def test_content(content: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_content(content)
    session = ChatSession(TINY, Counter())
    list(session.send("Hello!"))
    before = list(session.messages)
    with pytest.raises(UsageError, match=message):
        list(session.send(content))
    assert session.messages == before


@pytest.mark.parametrize("most", [0, -3, 2.5, "9", True])
def test_max_tokens(most: Any) -> None:
    session = ChatSession(TINY, Counter())
    with pytest.raises(UsageError, match=r"max_tokens: found .* expected a whole number from 1 on"):
        list(session.send("Hello!", max_tokens=most))
    assert session.messages == []


def test_what_is_put_into_a_conversation_later() -> None:
    session = ChatSession(TINY, Counter())
    session.messages.append({"role": "users", "content": "Hi"})  # type: ignore[typeddict-item]
    with pytest.raises(UsageError, match=r"messages\[0\].role: 'users' is not known"):
        list(session.send("Hello!"))
    assert len(session.messages) == 1


def test_messages_that_templates_read_more_of() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"x": 1}}}
    check_messages(
        [
            {"role": "system", "content": ""},
            {"role": "assistant", "content": "", "tool_calls": [call], "reasoning_content": "Let me see."},
            {"role": "tool", "content": "7", "name": "add", "tool_call_id": "1"},
        ]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": "hot"}, "temperature is 'hot'; expected a number from 0 on"),
        ({"top_p": 7}, "top_p is 7; expected a number from 0 to 1"),
        ({"top_k": 2.5}, "top_k is 2.5; expected a whole number"),
        ({"top_k": -5}, "top_k is -5; expected a whole number"),
        ({"do_sample": "yes"}, "do_sample is 'yes'; expected true or false"),
    ],
)
def test_generation_config(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    config = json.loads((TINY / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(BundleError, match=message):
        read_generation_config(tmp_path)
