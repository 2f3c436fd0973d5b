"""Makes tests/fixtures/tokens.json: awkward texts and conversations, and the ids that transformers gives them.

pytest checks that the file still says what transformers says; vitest checks the TypeScript tokenizer, chat template
and detokenizer against the file. To write it again, after a change of the tiny model's tokenizer or template:

    python -m tests.input.token_fixture
"""

import json
import random
from pathlib import Path
from typing import Any, TypedDict, cast

from transformers import AutoTokenizer

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "models" / "tiny"
CONVERSATIONS = REPOSITORY / "tests" / "models" / "conversations.json"
FIXTURE = REPOSITORY / "tests" / "fixtures" / "tokens.json"

AWKWARD = [
    "",
    " ",
    "Hello, world!",
    "  two before, two after  ",
    "a" + " " * 40 + "b",
    "\n",
    "\n\n\n\n\n\n\n",
    "line\r\nline\rline\n",
    "\ttab\t\ttabs \t mixed",
    "under_score ▁ and ▁▁ the space mark itself",
    "🎈",
    "👨‍👩‍👧‍👦 a family, 🏳️‍🌈 a flag, 👍🏽 a skin tone, 🇳🇴 two letters",
    "日本語のテキスト、漢字とかな。",
    "中文没有空格，也没有字母。",
    "한국어 문장입니다",
    "שלום עולם, مرحبا بالعالم ‏mixed‎ directions",
    "e\u0301 is not é, and a\u0308\u0323\u0301 has three marks",
    "ﬁ ligature, ① circled, Å angstrom against Å",
    "zero\u200bwidth\u200cjoin\u200der\u2060s\ufeff and a byte order mark",
    "\ufeffat the start",
    "no\u00a0break\u202fspaces\u2003and\u3000wide ones",
    "\x00\x01\x1b[31m control \x7f\x85",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𓀀 outside the first plane",
    "\U0010fffd\ue000 private use",
    "1234567890 3.14159 1e-9 0xFF ½ ٣ ४",
    "don't can't we'll \"quoted\" ‘curly’ «guillemets»",
    "<0x41> <0xE2><0x82><0xAC> are not bytes here",
    "<bos><eos><pad><unk><mask>",
    "<|turn>user\nnot a real turn<turn|>\n",
    "<|turn> <turn|> <| turn> <|turn |> <|TURN> <<|turn>> <|turn><|turn>",
    "<|channel>thought\nhm<channel|> <|think|> <|\"|>",
    "<|tool_call>call:f{x:1}<tool_call|><|tool_response>",
    "<|image|><|audio|><|video|> <start_of_turn> </s> [INST] <|endoftext|>",
    "```python\ndef f(x):\n    return {'a': [1, 2, 3]}\n```",
    "<script>alert('x')</script> &amp; {{ braces }} {% block %} {# comment #}",
    "https://example.org/a?b=c&d=%20#e  user@example.org  C:\\path\\to",
    "Pneumonoultramicroscopicsilicovolcanoconiosis" * 3,
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "!?!?!?!?…——--==>>",
]  # fmt: skip
"""Texts on which tokenizers disagree: runs of spaces, scripts without spaces, marks, bytes, look-alikes."""


class Text(TypedDict):
    """decoded: what comes back without the special tokens."""

    text: str
    ids: list[int]
    decoded: str


class Conversation(TypedDict):
    """ids: of the rendered conversation of that name in conversations.json."""

    name: str
    ids: list[int]


class Fixture(TypedDict):
    texts: list[Text]
    conversations: list[Conversation]


def random_texts(count: int, seed: int) -> list[str]:
    """Texts of the corpus cut and joined at random positions, and random characters between them."""
    dice = random.Random(seed)
    texts = []
    for _ in range(count):
        pieces = [dice.choice(AWKWARD)[dice.randrange(8) :][: dice.randrange(1, 24)] for _ in range(4)]
        codes = [dice.choice([dice.randrange(0x20, 0x7F), dice.randrange(0xA0, 0xD800), 0x20]) for _ in range(6)]
        texts.append("".join(map(chr, codes[:3])) + "".join(pieces) + "".join(map(chr, codes[3:])))
    return texts


def make() -> Fixture:
    """Return the fixture's content by the installed transformers."""
    tokenizer: Any = AutoTokenizer.from_pretrained(MODEL)

    def ids_of(text: str) -> list[int]:
        return cast(list[int], tokenizer(text, add_special_tokens=False)["input_ids"])

    def conversation_ids(conversation: dict[str, Any]) -> list[int]:
        ids = tokenizer.apply_chat_template(
            conversation["messages"],
            tools=conversation["tools"],
            enable_thinking=conversation["enable_thinking"],
            add_generation_prompt=conversation["add_generation_prompt"],
            tokenize=True,
            return_dict=False,
        )
        return cast(list[int], ids)

    texts = [
        Text(text=text, ids=ids_of(text), decoded=tokenizer.decode(ids_of(text), skip_special_tokens=True))
        for text in AWKWARD + random_texts(60, seed=1)
    ]
    conversations = json.loads(CONVERSATIONS.read_text(encoding="utf-8"))
    return Fixture(
        texts=texts,
        conversations=[Conversation(name=c["name"], ids=conversation_ids(c)) for c in conversations],
    )


if __name__ == "__main__":
    FIXTURE.write_text(json.dumps(make(), ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")
