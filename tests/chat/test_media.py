"""Media in a conversation: what placeholders become is what transformers' processor makes of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, Gemma4Processor

from gemtab.backends.media import Media
from gemtab.chat import ChatSession, ChatTokenizer, Message
from gemtab.chat.generation_config import read_generation_config
from gemtab.chat.media import Item, Medium, Placeholders
from gemtab.chat.session import Content, PromptCache, Snapshot
from gemtab.errors import BundleError, ContextError, UsageError
from tests.variants import TINY


def item(tower: Any, tokens: int, key: str = "a") -> Item:
    return Item(tower, key, tokens, dict)


def image(tokens: int, key: str = "a") -> Medium:
    return Medium("image", (item("image", tokens, key),))


def placeholders() -> Placeholders:
    return Placeholders(TINY, ChatTokenizer(TINY))


class ProcessorText:
    """The parts of transformers' processor that write placeholders out, given counts instead of pixels."""

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(TINY)
        config = self.tokenizer
        self.boi_token, self.eoi_token, self.image_token = config.boi_token, config.eoi_token, config.image_token
        self.boa_token, self.eoa_token, self.audio_token = config.boa_token, config.eoa_token, config.audio_token
        self.video_token = "<|video|>"

    def image(self, tokens: int) -> str:
        counts = {"num_soft_tokens_per_image": [tokens]}
        return str(Gemma4Processor.replace_image_token(self, counts, 0))

    def audio(self, frames: int) -> str:
        mask = {"input_features_mask": torch.ones(1, frames)}
        return str(Gemma4Processor.replace_audio_token(self, mask, 0))

    def video(self, seconds: Sequence[float], tokens: int) -> str:
        class Metadata:
            fps, timestamps = 24, seconds

        inputs = {"num_soft_tokens_per_video": [tokens], "video_metadata": [Metadata]}
        return str(Gemma4Processor.replace_video_token(self, inputs, 0))


def test_placeholders_become_what_the_processor_makes_of_them() -> None:
    text = ProcessorText()
    video = Medium("video", (item("image", 4), item("image", 4)), ("00:00", "01:05"))
    media = [image(6), Medium("audio", (item("audio", 3),)), video]
    found = placeholders().expand("See <|image|>, hear <|audio|> and watch <|video|>.", media)
    assert found == f"See {text.image(6)}, hear {text.audio(9)} and watch {text.video([0.4, 65.9], 4)}."


def test_the_audio_of_a_video_follows_its_frames() -> None:
    video = Medium("video", (item("image", 2), item("audio", 3)), ("00:01",))
    expected = "00:01 <|image><|video|><|video|><image|><|audio><|audio|><|audio|><|audio|><audio|>"
    assert placeholders().expand("<|video|>", [video]) == expected


def test_ids_are_found_in_any_order() -> None:
    media = [image(3), Medium("audio", (item("audio", 2), item("audio", 1))), image(2)]
    text = placeholders().expand("a <|image|> b <|audio|><|image|> c", media)
    tokenizer = ChatTokenizer(TINY)
    prompt = placeholders().locate(tokenizer.encode(text), media)
    token = {"image": tokenizer.encode("<|image|>")[0], "audio": tokenizer.encode("<|audio|>")[0]}
    assert [entry.item for entry in prompt.items] == [one for medium in media for one in medium.items]
    covered = {index for entry in prompt.items for index in range(entry.position, entry.end)}
    assert covered == {index for index, number in enumerate(prompt.ids) if number in token.values()}
    for entry in prompt.items:
        assert set(prompt.ids[entry.position : entry.end]) == {token[entry.item.tower]}


def test_text_with_a_placeholder_of_its_own_is_refused() -> None:
    with pytest.raises(UsageError, match=r"has the placeholders \['image'\].*has the media none"):
        placeholders().expand("What does <|image|> mean?", [])


@dataclass(frozen=True)
class Mark:
    """A snapshot of a backend that keeps nothing."""

    position: int
    bytes: int = 0


class Counter:
    """An encoder that counts, and a backend that only notes what it is given."""

    context = 1024

    def __init__(self) -> None:
        self.encoded: list[str] = []
        self.filled: list[tuple[int, list[Media]]] = []
        self.position = 0

    def rows(self, item: Item) -> object:
        self.encoded.append(item.key)
        return np.zeros((item.tokens, 4), np.float32)

    def set_sampling(self, temperature: float, top_k: int, top_p: float, seed: int) -> None:
        pass

    def fill(self, ids: Sequence[int], media: Sequence[Media] = ()) -> None:
        self.filled.append((len(ids), list(media)))
        self.position += len(ids)

    def decode(self, token: int | None) -> int:
        assert token is not None, "the first id of an answer ends it"
        self.position += 1
        return min(read_generation_config(TINY).stop)

    def snapshot(self) -> Snapshot:
        return Mark(self.position)

    def restore(self, snapshot: Snapshot) -> None:
        self.position = snapshot.position

    def rewind(self, position: int) -> bool:
        self.position = position
        return True

    def reset(self) -> None:
        self.position = 0


def asked(medium: Medium, question: str) -> Content:
    return [{"type": medium.kind, "medium": medium}, {"type": "text", "text": question}]


def test_what_the_caches_hold_is_not_encoded_again() -> None:
    counter = Counter()
    session = ChatSession(TINY, counter, encoder=counter)
    list(session.send(asked(image(9, "cat"), "What is this?")))
    assert counter.encoded == ["cat"]
    list(session.send("Are you sure?"))
    assert counter.encoded == ["cat"]
    # Another image of the same size has the same ids, and is not the same prompt.
    before = session.stats.prompt_tokens
    session.messages = []
    list(session.send(asked(image(9, "dog"), "What is this?")))
    assert counter.encoded == ["cat", "dog"]
    assert session.stats.reused_tokens < before // 2


def test_an_edited_question_about_an_image_reuses_it() -> None:
    counter = Counter()
    session = ChatSession(TINY, counter, encoder=counter)
    list(session.send(asked(image(9), "What is this?")))
    session.messages = []
    list(session.send(asked(image(9), "Which colour is it?")))
    assert counter.encoded == ["a"]
    assert session.stats.reused_tokens > 9


def test_media_beyond_the_context_leave_the_conversation_as_it_was() -> None:
    counter = Counter()
    session = ChatSession(TINY, counter, encoder=counter)
    list(session.send("Hello!"))
    before: list[Message] = list(session.messages)
    forty: Content = [{"type": "image", "medium": image(70, str(i))} for i in range(40)]
    with pytest.raises(ContextError, match="holds 1,024"):
        list(session.send(forty))
    assert session.messages == before
    assert counter.encoded == [], "nothing is encoded that has no room"


def test_media_need_an_encoder() -> None:
    counter = Counter()
    session = ChatSession(TINY, counter)
    with pytest.raises(UsageError, match="the session has no encoder"):
        list(session.send(asked(image(2), "What is this?")))
    assert session.messages == []


def test_a_stable_prefix_within_media_is_not_needed() -> None:
    """The cache is asked for what is reused, not what is in it: keys of media are counted token by token."""
    counter = Counter()
    cache = PromptCache(counter)
    prompt = placeholders().locate(ChatTokenizer(TINY).encode("<|image><|image|><|image|><image|> a b"), [image(2)])
    assert cache.fill(prompt, 4, counter) == 0
    assert cache.fill(prompt, 4, counter) == len(prompt.ids) - 1


def test_a_placeholder_of_more_characters_than_a_token_has_is_refused(tmp_path: Path) -> None:
    config = json.loads((TINY / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "image_token": "x" * 200_000}))
    with pytest.raises(BundleError, match="image_token has 200,000 characters; expected at most 1,000"):
        Placeholders(tmp_path, ChatTokenizer(TINY)).tokens()
