"""What comes of the model's ids: words, thoughts and calls, as soon as they are certain."""

import pytest

from gemtab.chat.answer import AnswerParser, AnswerPart
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
        ("<|tool_call>call:cut{", [AnswerPart("tool_call", "call:cut{")]),
        ("over<turn|>", [AnswerPart("text", "over")]),
    ],
)
def test_parts(tokenizer: ChatTokenizer, written: str, parts: list[AnswerPart]) -> None:
    assert parse(tokenizer, written) == parts


def test_a_character_of_several_tokens_comes_whole(tokenizer: ChatTokenizer) -> None:
    ids = tokenizer.encode("𓀀")
    assert len(ids) > 1, "the tokenizer is to spell this character in bytes"
    parser = AnswerParser(tokenizer)
    given = [[part.text for part in parser.push(id_)] for id_ in ids]
    assert "".join(text for texts in given for text in texts) == "𓀀"
    assert [texts for texts in given if texts] == [["𓀀"]]


def test_half_a_character_is_shown_as_such_in_the_end(tokenizer: ChatTokenizer) -> None:
    parser = AnswerParser(tokenizer)
    *some, _ = tokenizer.encode("𓀀")
    parts = [part for id_ in some for part in parser.push(id_)] + parser.end()
    assert parts == [AnswerPart("text", "\ufffd")]


def test_ordinary_characters_that_look_like_tokens_are_text(tokenizer: ChatTokenizer) -> None:
    ids = [id_ for character in "<channel|>" for id_ in tokenizer.encode(character)]
    parser = AnswerParser(tokenizer)
    assert "".join(part.text for id_ in ids for part in parser.push(id_)) == "<channel|>"
