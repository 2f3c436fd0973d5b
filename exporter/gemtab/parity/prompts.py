"""What the backends are compared on."""

from collections.abc import Sequence
from pathlib import Path

from gemtab.chat.session import Message
from gemtab.chat.template import ChatTemplate
from gemtab.chat.tokenizer import ChatTokenizer

QUESTIONS = (
    "Hello! Who are you?",
    "What is the capital of France, and what is 12 + 30?",
    "Écris « bonjour », then 你好, then a smile: 🙂",
)

STORY = (
    "The lighthouse keeper wrote down the weather every evening. On the first day there was fog, on the second a "
    "south wind, on the third eleven ships passed and none of them stopped. "
)


def prompts(folder: Path, long: int, most: int) -> list[list[int]]:
    """Token ids of a few prompts, as the bundle's template renders them: short ones, and one of about `long` tokens
    that makes ring caches wrap. None is longer than `most`."""
    tokenizer, template = ChatTokenizer(folder), ChatTemplate(folder)

    def render(text: str) -> list[int]:
        messages: Sequence[Message] = [{"role": "user", "content": text}]
        return tokenizer.encode(template.render(messages))

    story_tokens = len(tokenizer.encode(STORY))
    repeats = max(1, min(-(-long // story_tokens), (most - 40) // story_tokens))
    rendered = [render(question) for question in QUESTIONS] + [render(STORY * repeats + "What did the keeper do?")]
    return [ids for ids in rendered if len(ids) <= most]
