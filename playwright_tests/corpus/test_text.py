"""Texts with special cases of text code: in transformers, in Python and in both browsers."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from gemtab.chat import ChatTemplate, ChatTokenizer
from gemtab.chat.answer import AnswerParser
from gemtab.chat.prompt_writer import control_tokens
from gemtab.chat.tokenizer import Detokenizer
from gemtab.errors import BundleError
from playwright_tests.corpus.conversations import EDGES, Dice
from playwright_tests.corpus.table import Row
from playwright_tests.corpus.text import Tabs
from tests.tables import CORPUS_LINE
from tests.variants import TINY

CONTROL = ["<|turn>", "<turn|>", "<|think|>", "<|image|>", "<|audio|>", '<|"|>', "<|tool_response>", "<bos>", "<eos>"]
"""Tokens with which a text could imitate a template."""

ADDED: list[dict[str, Any]] = [
    {"content": "<one>", "single_word": True},
    {"content": "<left>", "lstrip": True},
    {"content": "<right>", "rstrip": True},
    {"content": "<both>", "lstrip": True, "rstrip": True, "special": True},
    {"content": "two words", "normalized": True},
    {"content": "naïve", "single_word": True, "normalized": True},
    {"content": "日本", "lstrip": True, "normalized": True},
    {"content": "\n\n"},
    {"content": "\n\n\n", "single_word": True},
    {"content": "<lefter>", "lstrip": True, "normalized": True},
]
"""Tokens such as fine-tunes add."""

ANSWERS = [
    "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<turn|>", '<|"|>', "<|image|>",
    "thought\n", "final\n", " thought \x85\n", "call:", "f", " g ", "{", "}", "{a:1}", "call:f{x:1}", "call:h{}", "\n",
    " ", "\x1c", "\ufeff", "a:", "text", "𓀀", "日本", "call:a{b}c{d}", "call:{}", "nonsense", "call: f {a:1} ",
]  # fmt: skip
"""The pieces of answers, so that many are cut off or malformed."""


class Text:
    """The chat files of models/tiny, read by each implementation."""

    def __init__(self, folder: Path, tabs: Tabs) -> None:
        self.tabs = tabs
        self.reference: Any = AutoTokenizer.from_pretrained(TINY)
        self.tokenizer = ChatTokenizer(folder)
        self.template = ChatTemplate(TINY)
        self.control = control_tokens(self.tokenizer, self.template)
        self.chat = {
            "tokenizer": json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")),
            "config": json.loads((TINY / "tokenizer_config.json").read_text(encoding="utf-8")),
            "template": (TINY / "chat_template.jinja").read_text(encoding="utf-8"),
        }

    def ids(self, text: str) -> list[int]:
        """Return transformers' ids."""
        found: list[int] = self.reference(text, add_special_tokens=False)["input_ids"]
        return found


@pytest.fixture(scope="module")
def text(tabs: Tabs) -> Text:
    return Text(TINY, tabs)


@pytest.fixture
def compare(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Add a line to the table, and fail where any result differs."""

    def run(kind: str, inputs: Sequence[object], expected: list[Any], **found: list[Any]) -> None:
        row, differing = Row("text", kind), []
        for i, (given, right) in enumerate(zip(inputs, expected, strict=True)):
            for implementation, results in found.items():
                row.add(implementation, results[i] == right)
                if results[i] != right:
                    differing.append(f"{given!r}\nexpected {right!r}\n{implementation} {results[i]!r}")
        record_property(CORPUS_LINE, str(row))
        assert not differing, "\n\n".join(differing[:5])

    return run


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "tools": None, "thinking": False}


def code_points() -> list[str]:
    """Return all blocks of the first planes with white space and special characters, and some characters of each later
    block."""
    return [
        chr(code)
        for code in [
            *range(1, 0x3100),
            *range(0x3100, 0xD800, 97),
            *range(0xE000, 0x10000, 7),
            *range(0x10000, 0x110000, 997),
        ]
    ]


def test_code_points_at_edges(text: Text, drawn: Callable[[int, int], int], compare: Callable[..., None]) -> None:
    """White space that only one language knows is stripped, or not, as in transformers."""
    dice = Dice(1, [])
    points = code_points()
    texts = [f"{c}x{c}" for c in [*EDGES, *dice.sample(points, min(drawn(60, len(points)), len(points)))]]
    conversations = [said(one) for one in texts]
    expected = [
        text.reference.apply_chat_template(one["messages"], add_generation_prompt=True, tokenize=False)
        for one in conversations
    ]
    compare(
        "code points at the edges of a message",
        texts,
        expected,
        Python=[text.template.render(**one) for one in conversations],
        **text.tabs.call("rendered", text.chat, conversations),
    )


def test_random_texts(text: Text, drawn: Callable[[int, int], int], compare: Callable[..., None]) -> None:
    dice = Dice(2, list(text.reference.added_tokens_encoder))
    points = code_points()
    texts = [dice.text(12) for _ in range(drawn(40, 1500))]
    texts += [f"a{c} {c}" for c in dice.sample(points, min(drawn(20, len(points)), len(points)))]
    compare(
        "random Unicode, to ids",
        texts,
        [text.ids(one) for one in texts],
        Python=[text.tokenizer.encode(one) for one in texts],
        **text.tabs.call("encoded", text.chat, texts),
    )


def test_lone_surrogates(text: Text, drawn: Callable[[int, int], int], compare: Callable[..., None]) -> None:
    """transformers rejects lone surrogates. Here they are read as U+FFFD, and pairs of them as their characters."""
    dice = Dice(3, [])
    pieces = ["\ud800", "\udfff", "\ud83d\ude00", "a", " ", "\ud83d", "\ude00", "😀"]
    texts = ["".join(dice.choices(pieces, k=4)) for _ in range(drawn(10, 300))]
    repaired = [one.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") for one in texts]
    compare(
        "lone surrogates, as U+FFFD",
        texts,
        [text.ids(one) for one in repaired],
        Python=[text.tokenizer.encode(one) for one in texts],
        **text.tabs.call("encoded", text.chat, texts),
    )


def test_added_tokens(
    text: Text, drawn: Callable[[int, int], int], compare: Callable[..., None], tmp_path: Path
) -> None:
    """Added tokens between words, with the white space around them, or in normalized text."""
    content = json.loads((TINY / "tokenizer.json").read_text(encoding="utf-8"))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    first = len(content["model"]["vocab"])
    content["added_tokens"] += [{"id": first + i, **flags, **token} for i, token in enumerate(ADDED)]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    shutil.copyfile(TINY / "tokenizer_config.json", tmp_path / "tokenizer_config.json")
    other = Text(tmp_path, text.tabs)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    dice = Dice(4, [])
    near = [
        "",
        "",
        " ",
        "  ",
        "\n",
        "\x85",
        "\ufeff",
        "\x1c",
        "a",
        "é",
        "_",
        "1",
        "-",
        "\u0301",
        "\u200d",
        "😀",
        "\u3000",
    ]
    tokens = [str(token["content"]) for token in ADDED]
    texts = [
        "".join(dice.choice(near) + dice.choice([*tokens, *tokens, "x"]) for _ in range(4))
        for _ in range(drawn(40, 800))
    ]
    compare(
        "added tokens: single_word, lstrip, rstrip",
        texts,
        [library.encode(one, add_special_tokens=False).ids for one in texts],
        Python=[other.tokenizer.encode(one) for one in texts],
        **other.tabs.call("encoded", other.chat, texts),
    )


def test_byte_tokens(text: Text, drawn: Callable[[int, int], int], compare: Callable[..., None]) -> None:
    """Ids one by one give transformers' text of all at once, also where bytes are not UTF-8."""
    dice = Dice(5, [])
    vocabulary = text.reference.get_vocab()
    byte = [number for token, number in vocabulary.items() if token.startswith("<0x")]
    spelled = [text.ids(c) for c in ("𓀀", "漢", "\ufeff", "\u0378")]

    def some() -> Iterator[int]:
        for _ in range(dice.randrange(1, 6)):
            kind = dice.randrange(4)
            if kind == 0:
                yield from dice.choice(spelled)
            elif kind == 1:
                yield from dice.choice(spelled)[: dice.randrange(1, 4)]
            elif kind == 2:
                yield dice.choice(byte)
            else:
                yield dice.randrange(len(vocabulary))

    runs = [list(some()) for _ in range(drawn(40, 1000))]

    def stream(ids: list[int]) -> str:
        detokenizer = Detokenizer()
        return "".join(detokenizer.push(text.tokenizer.piece(one)) for one in ids) + detokenizer.end()

    compare(
        "byte tokens, decoded one by one",
        runs,
        [text.reference.decode(ids, skip_special_tokens=True) for ids in runs],
        Python=[stream(ids) for ids in runs],
        **text.tabs.call("streamed", text.chat, runs),
    )


def test_control_tokens_in_messages(text: Text, drawn: Callable[[int, int], int], compare: Callable[..., None]) -> None:
    """As in transformers with `sanitize_control_tokens=True`."""
    dice = Dice(6, CONTROL)

    def words() -> str:
        return "".join(
            dice.choice([*CONTROL, "a ", "\n", "user\n", "日", " ", "<", "b|>"]) for _ in range(dice.randrange(1, 7))
        )

    def conversation() -> dict[str, Any]:
        tool = {"name": "f", "description": words(), "parameters": {"properties": {"x": {"description": words()}}}}
        messages: list[dict[str, Any]] = [{"role": "system", "content": words()}, {"role": "user", "content": words()}]
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": words()}}}
        called = {"role": "assistant", "content": words(), "tool_calls": [call]}
        messages += [called, {"role": "tool", "tool_call_id": "1", "content": words()}]
        tools = [{"type": "function", "function": tool}]
        return {"messages": messages[dice.randrange(2) : dice.choice([2, 4])], "tools": tools, "thinking": False}

    conversations = [conversation() for _ in range(drawn(30, 700))]
    expected = [
        text.reference.apply_chat_template(
            one["messages"],
            tools=one["tools"],
            add_generation_prompt=True,
            return_dict=False,
            sanitize_control_tokens=True,
        )
        for one in conversations
    ]
    compare(
        "control tokens that are said, to ids",
        conversations,
        expected,
        Python=[prompt(text, one) for one in conversations],
        **text.tabs.call("prompts", text.chat, conversations),
    )


def prompt(text: Text, conversation: dict[str, Any]) -> list[int] | None:
    """Return the prompt, or None where the template rejects the conversation."""
    try:
        written = text.template.write(**conversation, control=text.control)
    except BundleError:
        return None
    return text.tokenizer.encode_pieces(written.cut(written.text))


def test_tokens_in_pieces(text: Text, drawn: Callable[[int, int], int], compare: Callable[..., None]) -> None:
    """Control tokens cut by the ends of texts that the template joins, and channel tokens in the model's own text.
    transformers reads them as control tokens, so the browsers are compared with Python."""
    dice = Dice(8, list(text.reference.added_tokens_encoder))
    conversations = [dice.conversation() for _ in range(drawn(20, 400))]
    python = [prompt(text, one) for one in conversations]
    bare = [prompt(text, without_marks(one)) for one in conversations]
    special = set(text.reference.all_special_ids) | set(text.reference.added_tokens_decoder)
    for conversation, ids, template_alone in zip(conversations, python, bare, strict=True):
        assert marks(ids, special) == marks(template_alone, special), conversation
    compare(
        "tokens in pieces, to ids (as Python's)",
        conversations,
        python,
        **text.tabs.call("prompts", text.chat, conversations),
    )


def marks(ids: list[int] | None, special: set[int]) -> list[int] | None:
    return ids and [one for one in ids if one in special]


def without_marks(value: Any) -> Any:
    """Return a text without the characters of control tokens, except in arguments of the model, which have fences."""
    if isinstance(value, str):
        return value if value == 'x:<|"|>y<|"|>' else value.replace("<", "(").replace(">", ")")
    if isinstance(value, dict):
        return {key: without_marks(one) for key, one in value.items()}
    return [without_marks(one) for one in value] if isinstance(value, list) else value


def test_answers_taken_apart(text: Text, drawn: Callable[[int, int], int], compare: Callable[..., None]) -> None:
    """transformers does not parse answers: the browsers are compared with Python."""
    dice = Dice(9, [])
    answers = ["".join(dice.choices(ANSWERS, k=dice.randrange(1, 9))) for _ in range(drawn(40, 1000))]
    ids = [text.tokenizer.encode(one) for one in answers]
    compare(
        "answers taken apart (as Python's)",
        answers,
        [parts(text.tokenizer, one) for one in ids],
        **text.tabs.call("parts", text.chat, ids),
    )


def parts(tokenizer: ChatTokenizer, ids: list[int]) -> list[list[str]]:
    parser = AnswerParser(tokenizer)
    joined: list[list[str]] = []
    for part in [*(part for one in ids for part in parser.push(one)), *parser.end()]:
        if part.kind == "tool_call":
            name, _, arguments = part.text.removeprefix("call:").partition("{")
            joined.append(["tool_call", name, arguments.removesuffix("}")])
        elif joined and joined[-1][0] == part.kind:
            joined[-1][1] += part.text
        else:
            joined.append([part.kind, part.text])
    return joined
