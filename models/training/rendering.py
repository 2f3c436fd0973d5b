"""Examples as token ids: the chat template, the tokenizer, and which tokens the loss counts."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers import GemmaTokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from .conversation import Example

TEMPLATE = Path(__file__).parent.parent / "tiny" / "chat_template.jinja"
_SPECIAL = re.compile(r"<(?:\|[a-z_\"]+\|?|[a-z_]+\|?)>")


@cache
def template() -> str:
    """The chat template's text."""
    return TEMPLATE.read_text(encoding="utf-8")


def render(messages: list[dict[str, Any]], **values: Any) -> str:
    """A conversation in Gemma 4's wire format; `values` are tools, enable_thinking and add_generation_prompt."""
    rendered, _ = render_jinja_template([messages], chat_template=template(), bos_token="<bos>", **values)
    return str(rendered[0])


def prompt(example: Example) -> str:
    """All that the model reads before it writes."""
    return render(
        example.messages, tools=example.tools or None, enable_thinking=example.thinking, add_generation_prompt=True
    )


def expanded(text: str, soft_tokens: int) -> str:
    """`text` with each media placeholder repeated and fenced, as Gemma4Processor does."""
    for kind in ("image", "audio"):
        text = text.replace(f"<|{kind}|>", f"<|{kind}>" + f"<|{kind}|>" * soft_tokens + f"<{kind}|>")
    return text


def plain_texts(example: Example) -> list[str]:
    """The example's text cut at its special tokens, for training the tokenizer."""
    return [text for text in _SPECIAL.split(prompt(example) + example.completion) if text]


@dataclass
class Sample:
    """Token ids, and for each whether predicting it counts."""

    ids: list[int]
    counts: list[bool]


class Sampler:
    """Turns examples into samples. Earlier answers count too while thinking is off: they were answered like the last one."""

    def __init__(self, tokenizer: GemmaTokenizer) -> None:
        self._tokenizer = tokenizer
        ids = tokenizer.convert_tokens_to_ids
        self._turn, self._turn_end = ids("<|turn>"), ids("<turn|>")
        self._answer, self._answer_end = ids("<|tool_response>"), ids("<tool_response|>")
        self._model = self._encode("model\n")

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def __call__(self, example: Example, soft_tokens: int = 0) -> Sample:
        """The sample of `example`, whose image or recording, if it has one, becomes `soft_tokens` placeholders."""
        read = self._encode(expanded(prompt(example), soft_tokens))
        written = self._encode(example.completion)
        counts = [False] * len(read) if example.thinking else self._earlier_answers(read)
        return Sample(read + written, counts + [True] * len(written))

    def _earlier_answers(self, ids: list[int]) -> list[bool]:
        """Marks what the model wrote in closed turns: not the prefix `<|turn>model\\n`, not what tools answered."""
        counts, inside, skip = [False] * len(ids), False, 0
        last = len(ids) - 1 - ids[::-1].index(self._turn)
        for at, token in enumerate(ids[:last]):
            if token == self._turn:
                inside = ids[at + 1 : at + 1 + len(self._model)] == self._model
                skip = at + len(self._model)
            elif inside and at > skip:
                counts[at] = True
                if token == self._answer and self._answer_end in ids[at:]:
                    skip = ids.index(self._answer_end, at)
                inside = token != self._turn_end
        return counts
