"""Conversations: what each turn reuses, and that reuse changes nothing."""

from pathlib import Path

import pytest

from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.chat import ChatSession, Message
from gemtab.errors import ContextError
from gemtab.export import export_bundle
from gemtab.resources import tiny_checkpoint
from tests.silent import Silent

CONTEXT = 1024
WINDOW, CHUNK = 64, 256
"""Of models/tiny and its plans: rings hold window + chunk rows, so a rewind by more than a chunk needs a snapshot."""

LONG = "The lighthouse keeper counted eleven ships and a grey cat on the quay. " * 22


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chat") / "tiny"
    export_bundle(tiny_checkpoint(), out, "q8", context=CONTEXT, force=False, progress=Silent())
    return out


@pytest.fixture(scope="module")
def other(bundle: Path) -> TextEngine:
    """A second model, which answers every conversation from nothing."""
    return TextEngine(bundle, "f32")


def say(session: ChatSession, text: str, tokens: int = 16) -> list[tuple[str, str]]:
    return [(part.kind, part.text) for part in session.send(text, max_tokens=tokens)]


def afresh(bundle: Path, other: TextEngine, session: ChatSession, text: str) -> list[tuple[str, str]]:
    """The same turn by a session that has nothing in its caches."""
    other.reset()
    return say(ChatSession(bundle, other, session.messages, session.thinking), text)


@pytest.mark.parametrize("thinking", [False, True])
def test_turns_reuse_the_caches_and_answer_as_if_they_did_not(bundle: Path, other: TextEngine, thinking: bool) -> None:
    system: Message = {"role": "system", "content": "You are a helpful assistant."}
    session = ChatSession(bundle, TextEngine(bundle, "f32"), [system], thinking)
    before = 0
    for question in ("Hello!", "My name is Ada.", LONG, "What is my name?"):
        expected = afresh(bundle, other, session, question)
        assert say(session, question) == expected
        # All of the prompt before the last turn is there already.
        assert session.stats.reused_tokens >= before
        before = session.stats.prompt_tokens - len("<|turn>model\n<|channel>thought\n<channel|>")
    assert session.stats.prompt_tokens > WINDOW + CHUNK, "the rings are to wrap"
    assert [message["role"] for message in session.messages] == ["system", *["user", "assistant"] * 4]


def test_going_back_further_than_a_ring_reaches(bundle: Path, other: TextEngine) -> None:
    session = ChatSession(bundle, TextEngine(bundle, "f32"))
    say(session, "My name is Ada.")
    kept = list(session.messages)
    say(session, LONG)
    assert session.stats.prompt_tokens > WINDOW + CHUNK
    session.messages = kept  # the last turn is deleted, and another is asked instead
    expected = afresh(bundle, other, session, "What is my name?")
    assert say(session, "What is my name?") == expected
    assert 0 < session.stats.reused_tokens < session.stats.prompt_tokens, "a snapshot was to be restored"


def test_another_beginning_starts_from_nothing(bundle: Path, other: TextEngine) -> None:
    session = ChatSession(bundle, TextEngine(bundle, "f32"))
    say(session, LONG)
    session.messages = [{"role": "system", "content": "You are a pirate."}]
    expected = afresh(bundle, other, session, "Hello!")
    assert say(session, "Hello!") == expected


def test_a_prompt_that_leaves_no_tokens_for_an_answer(bundle: Path, other: TextEngine) -> None:
    other.reset()
    session = ChatSession(bundle, other)
    with pytest.raises(ContextError, match="1,024"):
        say(session, LONG * 4)
    assert session.messages == []
    assert other.position == 0


def test_an_answer_ends_where_the_context_does(bundle: Path, other: TextEngine) -> None:
    other.reset()
    session = ChatSession(bundle, other)
    session.generation = type(session.generation)(frozenset(), 0, 1.0)  # nothing stops it but the context
    say(session, "Hello! " * 200, tokens=10_000)
    assert session.stats.prompt_tokens + session.stats.answer_tokens == CONTEXT + 1
    assert other.position == CONTEXT
    assert session.stats.finish == "length"
