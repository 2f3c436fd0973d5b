"""Each turn of a conversation in the tab equals transformers' answer to the whole rendered conversation."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page
from transformers import AutoModelForImageTextToText, AutoTokenizer

from playwright_tests.conftest import BOTH_BROWSERS, COMPILE_MS, TINY
from playwright_tests.in_page import in_page

TESTED_IN = BOTH_BROWSERS

MAX_TOKENS = 32
SYSTEM = "You are a friendly assistant who answers in one short sentence and calls everybody by name. " * 3
"""A prompt longer than the window, so that the rings have wrapped before the first question."""

CONVERSATIONS = {
    "off": ["Hi, I am Zoe.", "What is gemtab?", "What is my name?"],
    "on": ["My name is Max. What is 3 + 4?", "What is my name?"],
}
"""Questions with certain answers: the second choice is 1.5 or more behind at each step, so that Firefox's f16 makes no
difference."""

THOUGHT = re.compile(r"<\|channel>thought\n(.*?)(?:<channel\|>|<turn\|>|<eos>|$)", re.DOTALL)
CLOSING = re.compile(r"<eos>|<\w+\|>")
"""Tokens that end a turn or a block; without a beginning they have no meaning."""


@dataclass
class Answer:
    ids: list[int]
    thought: str
    text: str


class Oracle:
    """transformers on the checkpoint in f32, without caches between turns."""

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(TINY)
        self._model = AutoModelForImageTextToText.from_pretrained(TINY, dtype=torch.float32).eval()

    def prompt(self, messages: list[dict[str, str]], thinking: bool) -> list[int]:
        rendered = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, enable_thinking=thinking
        )
        ids: list[int] = self.tokenizer(rendered, add_special_tokens=False)["input_ids"]
        return ids

    def answer(self, prompt: list[int]) -> Answer:
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=MAX_TOKENS,
                do_sample=False,
                temperature=None,
                top_k=None,
                top_p=None,
            )
        answered: list[int] = output[0, len(prompt) :].tolist()
        written = self.tokenizer.decode(answered, skip_special_tokens=False)
        return Answer(answered, "".join(THOUGHT.findall(written)).strip(), CLOSING.sub("", THOUGHT.sub("", written)))


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture(scope="module")
def page_with_model(tested: Browser, served: str) -> Iterator[Page]:
    """A page that has loaded the exact bundle through the module, without the element."""
    page = tested.new_page()
    page.set_default_timeout(COMPILE_MS)
    page.goto(served + "example.html")
    page.evaluate(in_page("gemma.load"), [served, "exact"])
    yield page
    page.close()


def say(page: Page, text: str) -> dict[str, Any]:
    """Return the last part of the answer, which has all of it."""
    answer: dict[str, Any] = page.evaluate(in_page("gemma.say"), [text, MAX_TOKENS])
    return answer


def common_prefix(left: list[int], right: list[int]) -> int:
    return next(
        (length for length, (one, other) in enumerate(zip(left, right, strict=False)) if one != other),
        min(len(left), len(right)),
    )


@pytest.mark.parametrize("thinking", CONVERSATIONS)
def test_turns_are_answered_as_by_transformers(page_with_model: Page, oracle: Oracle, thinking: str) -> None:
    page, thinks = page_with_model, thinking == "on"
    page.evaluate("([system, thinking]) => { window.chat = gemma.chat({ system, thinking }) }", [SYSTEM, thinks])
    messages = [{"role": "system", "content": SYSTEM}]
    cached: list[int] = []
    for question in CONVERSATIONS[thinking]:
        messages.append({"role": "user", "content": question})
        prompt = oracle.prompt(messages, thinks)
        wanted = oracle.answer(prompt)
        found = say(page, question)
        assert (found["ids"], found["thought"], found["text"]) == (wanted.ids, wanted.thought, wanted.text), question
        stats = found["stats"]
        assert stats["promptTokens"] == len(prompt)
        if cached:
            # The prompt's last id goes in with the first step of the answer, so the snapshot is before it.
            prefix = common_prefix(cached, prompt)
            assert prefix - 1 <= stats["reusedTokens"] <= prefix, question
        cached = [*prompt, *wanted.ids][: stats["contextUsed"]]
        messages.append({"role": "assistant", "content": wanted.text})
    assert len(cached) > len(oracle.prompt(messages[:2], thinks)) > 64
