"""The model's ids become text, thoughts and calls, as soon as they are certain."""

import pytest

from gemtab.chat.answer import AnswerParser, AnswerPart
from gemtab.chat.facts import FENCE
from gemtab.chat.tokenizer import ChatTokenizer
from gemtab.resources import tiny_checkpoint


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer(tiny_checkpoint())


def parse(tokenizer: ChatTokenizer, text: str) -> list[AnswerPart]:
    """The parts of an answer, neighbours of one kind joined."""
    parser = AnswerParser(tokenizer)
    parts = [part for id_ in tokenizer.encode(text) for part in parser.push(id_)] + parser.end()
    joined: list[AnswerPart] = []
    for part in parts:
        if joined and joined[-1].kind == part.kind != "tool_call":
            joined[-1] = AnswerPart(part.kind, joined[-1].text + part.text)
        else:
            joined.append(part)
    return joined


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("Hello there!", [AnswerPart("text", "Hello there!")]),
        ("naïve 🙂 日本語", [AnswerPart("text", "naïve 🙂 日本語")]),
        (
            "<|channel>thought\nAdd them.\n<channel|>42",
            [AnswerPart("thought", "Add them.\n"), AnswerPart("text", "42")],
        ),
        ("<|channel>thought\n<channel|>42", [AnswerPart("text", "42")]),
        ("<|channel>thought\nEndless", [AnswerPart("thought", "Endless")]),
        (
            'Let me see.<|tool_call>call:weather{city:<|"|>Oslo<|"|>}<tool_call|>',
            [AnswerPart("text", "Let me see."), AnswerPart("tool_call", 'call:weather{city:<|"|>Oslo<|"|>}')],
        ),
        ("<|channel>Yes, I do.<channel|>", [AnswerPart("text", "Yes, I do.")]),
        ("<|channel>Yes, I do.", [AnswerPart("text", "Yes, I do.")]),
        ("<|channel>Yes, I do.<turn|>", [AnswerPart("text", "Yes, I do.")]),
        ("<|channel>thought", []),
        ("<|channel> thought <channel|>", []),
        ("<|channel>thou", []),
        ("<|channel><channel|>", []),
        ("<|tool_call>call:cut{", [AnswerPart("text", "call:cut{")]),
        ("<|tool_call>call:f{a:1", [AnswerPart("text", "call:f{a:1")]),
        ("<|tool_call>f{a:1}<tool_call|>", [AnswerPart("text", "f{a:1}")]),
        ("<|tool_call>call:f<tool_call|>", [AnswerPart("text", "call:f")]),
        ("<|tool_call>call:{}<tool_call|>", [AnswerPart("text", "call:{}")]),
        ("<|tool_call>call: {}<tool_call|>", [AnswerPart("text", "call: {}")]),
        ("<|tool_call> call: f {a:1} <tool_call|>", [AnswerPart("tool_call", "call:f{a:1}")]),
        ("<|tool_call>\x85call:f{a:\n1}\n<tool_call|>", [AnswerPart("tool_call", "call:f{a:\n1}")]),
        ("<|tool_call>call:f{a:1}<|tool_response>", [AnswerPart("tool_call", "call:f{a:1}")]),
        ("<|tool_call>call:f{a:1<|tool_response>b", [AnswerPart("text", "call:f{a:1b")]),
        ("<|tool_call>nonsense", [AnswerPart("text", "nonsense")]),
        ("over<turn|>", [AnswerPart("text", "over")]),
    ],
)
def test_parts(tokenizer: ChatTokenizer, written: str, parts: list[AnswerPart]) -> None:
    assert parse(tokenizer, written) == parts


def test_a_character_of_several_tokens_comes_whole(tokenizer: ChatTokenizer) -> None:
    ids = tokenizer.encode("𓀀")
    assert len(ids) > 1, "the tokenizer is to spell this character in bytes"
    parser = AnswerParser(tokenizer)
    given = [part.text for id_ in ids for part in parser.push(id_)] + [part.text for part in parser.end()]
    assert given == ["𓀀"]


def test_bytes_that_are_no_character_are_shown_as_transformers_shows_them(tokenizer: ChatTokenizer) -> None:
    parser = AnswerParser(tokenizer)
    *some, _ = tokenizer.encode("𓀀")
    parts = [part for id_ in some for part in parser.push(id_)] + parser.end()
    assert parts == [AnswerPart("text", "\ufffd" * len(some))]


def test_a_call_with_fences_of_ordinary_tokens_is_text(tokenizer: ChatTokenizer) -> None:
    """They would be tokens when the conversation is rendered again."""
    fence = [id_ for character in FENCE for id_ in tokenizer.encode(character)]
    ids = [*tokenizer.encode("<|tool_call>call:f{a:"), *fence, *tokenizer.encode("}<tool_call|>")]
    parser = AnswerParser(tokenizer)
    parts = [part for id_ in ids for part in parser.push(id_)] + parser.end()
    assert parts == [AnswerPart("text", f"call:f{{a:{FENCE}}}")]


def test_ordinary_characters_that_look_like_tokens_are_text(tokenizer: ChatTokenizer) -> None:
    ids = [id_ for character in "<channel|>" for id_ in tokenizer.encode(character)]
    parser = AnswerParser(tokenizer)
    assert "".join(part.text for id_ in ids for part in parser.push(id_)) == "<channel|>"
