"""A conversation: render prompts, fill and decode tokens, and reuse the caches for the next turn's prompt."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, NotRequired, Protocol, TypedDict, TypeVar

from gemtab.backends.media import Media
from gemtab.bundle.limits import SNAPSHOT_BYTES, SNAPSHOTS
from gemtab.chat.answer import AnswerParser, AnswerPart
from gemtab.chat.checks import check_content, check_flags, check_messages, check_settings
from gemtab.chat.generation_config import read_generation_config
from gemtab.chat.media import TEXT_ONLY, Encoder, Medium, Prompt, encode_items
from gemtab.chat.prompt_process import PromptProcess
from gemtab.errors import ContextError, GemtabError, UsageError


class Snapshot(Protocol):
    """A saved copy of the state that a rewind of the caches would lose."""

    @property
    def position(self) -> int:
        """Tokens in the caches when the snapshot was taken."""
        ...

    @property
    def bytes(self) -> int:
        """Size of the snapshot in bytes."""
        ...


Kept = TypeVar("Kept", bound=Snapshot)


class TextBackend(Protocol[Kept]):
    """Runs the model: see `gemtab.backends.webgpu.engine.text_engine.TextEngine`."""

    @property
    def context(self) -> int:
        """Maximum tokens in the caches."""
        ...

    @property
    def position(self) -> int:
        """Tokens in the caches."""
        ...

    def set_sampling(self, temperature: float, top_k: int, top_p: float, seed: int) -> None:
        """Set how the next ids are sampled; temperature 0 is greedy."""

    def fill(self, ids: Sequence[int], media: Sequence[Media] = ()) -> None:
        """Append tokens to the caches. media: rows that replace placeholders among the ids."""

    def decode(self, token: int | None) -> int:
        """Process one token (if None, the token just sampled), sample the next one and return its id."""
        ...

    def snapshot(self) -> Kept:
        """Return a copy of the state that a rewind would lose."""
        ...

    def restore(self, snapshot: Kept) -> None:
        """Restore the state saved in `snapshot`."""

    def rewind(self, position: int) -> bool:
        """Go back to `position` if no snapshot is needed for it. Return whether the rewind was made."""
        ...

    def reset(self) -> None:
        """Empty the caches."""


@dataclass(frozen=True)
class Sampling:
    """temperature: 0 is greedy. top_k: 0 is the sampler's maximum. top_p: 1 is off. Raises UsageError for invalid
    values.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(**vars(self))


class ToolFunction(TypedDict):
    """The function of a tool call. arguments: as the template takes them."""

    name: str
    arguments: dict[str, Any] | str


class ToolRequest(TypedDict):
    """A tool call in a message of the model."""

    type: Literal["function"]
    function: ToolFunction


class TextPart(TypedDict):
    """Text in a message's content."""

    type: Literal["text"]
    text: str


class MediumPart(TypedDict):
    """An image, audio or video in a message's content; `type` is its kind."""

    type: Literal["image", "audio", "video"]
    medium: Medium


Content = str | list[TextPart | MediumPart]


def content_of(text: str, media: Sequence[Medium]) -> Content:
    """Return content with media before the text: the model then reads a question with the media in its context."""
    if not media:
        return text
    parts: list[TextPart | MediumPart] = [{"type": medium.kind, "medium": medium} for medium in media]
    return [*parts, {"type": "text", "text": text}]


class Message(TypedDict):
    """A message as templates read it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Content
    tool_calls: NotRequired[list[ToolRequest]]


@dataclass
class TurnStats:
    """Statistics of one answer.

    prompt_tokens, reused_tokens: tokens of the prompt, and how many of them the caches held already. ids: ids that the
    model wrote, the end token included. prompt_seconds: time until the first id. answer_seconds: time from the first
    id to the last. finish: "stop" for an end token, "length" where the answer was cut off.
    """

    prompt_tokens: int
    reused_tokens: int
    ids: list[int] = field(default_factory=list)
    prompt_seconds: float = 0.0
    answer_seconds: float = 0.0
    finish: Literal["stop", "length"] = "length"

    @property
    def answer_tokens(self) -> int:
        """Number of ids that the model wrote."""
        return len(self.ids)


class PromptCache:
    """Keeps track of the backend's caches, and reuses them for the next prompt.

    Each turn renders the whole conversation again, and the template then changes earlier turns (it drops thoughts and
    the empty thought block). Only the longest common prefix is therefore reused: equal ids and equal media. Ring caches
    cannot rewind far, so a snapshot is kept at the point up to which the next prompt is expected to be the same.
    """

    def __init__(self, backend: TextBackend[Any]) -> None:
        self._backend = backend
        self._keys: list[int | tuple[str, int]] = []
        self._snapshots: list[Snapshot] = []

    def fill(self, prompt: Prompt, stable: int, encoder: Encoder = TEXT_ONLY) -> int:
        """Fill the caches with all of the prompt but its last id, which the first decode step takes.

        A snapshot is kept at position `stable`. Media that the caches do not hold yet are encoded. Returns the number
        of ids that the caches held already.
        """
        ids, keys = prompt.ids, prompt.keys()
        last = len(ids) - 1
        reused = self._go_back(min(common_prefix(self._keys, keys), last))
        self._keys = keys[:reused]
        media = encode_items([entry for entry in prompt.items if entry.end > reused], encoder)
        if reused <= stable <= last:
            self._backend.fill(ids[reused:stable], media)
            self._take_snapshot()
        self._backend.fill(ids[self._backend.position : last], media)
        self._keys = keys[:last]
        return reused

    def decode(self, ids: Sequence[int], most: int) -> Iterator[int]:
        """Yield at most `most` ids that follow the filled prompt `ids`."""
        token: int | None = ids[-1]
        following = ids[-1]
        for _ in range(most):
            sampled = self._backend.decode(token)
            self._keys.append(following)
            token, following = None, sampled
            yield sampled

    def _go_back(self, prefix: int) -> int:
        self._snapshots = [snapshot for snapshot in self._snapshots if snapshot.position <= prefix]
        if prefix == self._backend.position or self._backend.rewind(prefix):
            return prefix
        if not self._snapshots:
            self._backend.reset()
            return 0
        self._backend.restore(self._snapshots[-1])
        return self._snapshots[-1].position

    def _take_snapshot(self) -> None:
        if self._snapshots and self._snapshots[-1].position == self._backend.position:
            return
        snapshot = self._backend.snapshot()
        self._snapshots = [*self._snapshots, snapshot][-snapshot_capacity(snapshot.bytes) :]


def snapshot_capacity(size: int) -> int:
    """How many snapshots of `size` bytes are kept: at least the one that the next turn needs."""
    return SNAPSHOTS if size == 0 else max(1, min(SNAPSHOTS, SNAPSHOT_BYTES // size))


class ChatSession:
    """A conversation with the bundle in `folder` on a backend that no other conversation uses.

    encoder: encodes media for the backend. trusted: control tokens spelled out in messages are control tokens, as in
    transformers, except in the model's own messages; otherwise they are text, and can neither end a turn nor begin one.
    prompts: a process that already runs the bundle's template and tokenizer. Raises UsageError for invalid messages.
    """

    def __init__(
        self,
        folder: Path,
        backend: TextBackend[Any],
        messages: Sequence[Message] = (),
        thinking: bool = False,
        encoder: Encoder = TEXT_ONLY,
        *,
        trusted: bool = False,
        prompts: PromptProcess | None = None,
    ) -> None:
        check_messages(messages)
        check_flags(thinking=thinking, trusted=trusted)
        self.trusted = trusted
        self.messages: list[Message] = list(messages)
        self.thinking = thinking
        self.stats = TurnStats(0, 0)
        self.generation = read_generation_config(folder)
        self._prompts = prompts or PromptProcess(folder)
        self._encoder = encoder
        self._backend = backend
        self._cache = PromptCache(backend)

    def prompt(self) -> Prompt:
        """Return the prompt of the conversation so far, with the opening of the model's turn. Raises UsageError for
        invalid messages."""
        check_messages(self.messages)
        return self._rendered(self.messages, add_generation_prompt=True)

    def _rendered(self, messages: Sequence[Message], add_generation_prompt: bool) -> Prompt:
        media = [part["medium"] for message in messages for part in _parts(message) if part["type"] != "text"]
        return self._prompts.prompt(
            messages,
            media,
            thinking=self.thinking,
            add_generation_prompt=add_generation_prompt,
            trusted=self.trusted,
        )

    def send(
        self, content: Content, sampling: Sampling | None = None, max_tokens: int | None = None
    ) -> Iterator[AnswerPart]:
        """Add a user message to the conversation, and yield the answer's parts as they arrive; then add the answer too.

        max_tokens: maximum tokens of the answer; by default the rest of the context. Raises ContextError before
        anything runs where the prompt leaves no tokens for an answer, UsageError for invalid values and for media that
        cannot be taken. After an error the conversation is unchanged.
        """
        check_content(content)
        if max_tokens is not None:
            check_settings(max_tokens=max_tokens)
        if sampling is not None and not isinstance(sampling, Sampling):
            raise UsageError(f"sampling: found {sampling!r}; expected a Sampling.")
        before = list(self.messages)
        self.messages.append({"role": "user", "content": content})
        words: list[str] = []
        calls: list[ToolRequest] = []
        parser = AnswerParser(self._prompts)
        try:
            for part in self._answer(parser, sampling or Sampling(), max_tokens):
                if part.kind == "text":
                    words.append(part.text)
                elif part.kind == "tool_call":
                    calls.append(_tool_request(part.text))
                yield part
        except GemtabError:
            self.messages = before
            raise
        self.messages.append(_assistant_message("".join(words), calls))

    def _answer(self, parser: AnswerParser, sampling: Sampling, max_tokens: int | None) -> Iterator[AnswerPart]:
        started = time.perf_counter()
        prompt = self.prompt()
        ids = prompt.ids
        remaining = self._backend.context - len(ids) + 1
        if remaining <= 1:
            raise ContextError(
                f"The conversation has {len(ids):,} tokens, and the context holds {self._backend.context:,}, the "
                "answer included. Shorten the prompt, or export again with a larger --context."
            )
        self._backend.set_sampling(sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed)
        self.stats = TurnStats(len(ids), self._cache.fill(prompt, self._stable_prefix(prompt), self._encoder))
        for id_ in self._cache.decode(ids, remaining if max_tokens is None else min(max_tokens, remaining)):
            now = time.perf_counter() - started
            if not self.stats.ids:
                self.stats.prompt_seconds = now
            self.stats.ids.append(id_)
            self.stats.answer_seconds = now - self.stats.prompt_seconds
            if id_ in self.generation.stop:
                self.stats.finish = "stop"
                break
            yield from parser.push(id_)
        yield from parser.end()

    def _stable_prefix(self, prompt: Prompt) -> int:
        """Return how many ids the next turn's prompt will share with this one: the template renders a trial answer."""
        answered: list[Message] = [*self.messages, {"role": "assistant", "content": "…"}]
        next_time = self._rendered(answered, add_generation_prompt=False)
        return min(common_prefix(prompt.keys(), next_time.keys()), len(prompt.ids) - 1)


def _parts(message: Message) -> Sequence[TextPart | MediumPart]:
    content = message["content"]
    return () if isinstance(content, str) else content


def common_prefix(left: Sequence[Any], right: Sequence[Any]) -> int:
    """Return the length of the common prefix of two sequences."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


def _tool_request(call: str) -> ToolRequest:
    """Parse `call:name{arguments}` for the template: the arguments stay in the wire format."""
    name, _, arguments = call.removeprefix("call:").partition("{")
    return {"type": "function", "function": {"name": name.strip(), "arguments": arguments.removesuffix("}")}}


def _assistant_message(text: str, calls: list[ToolRequest]) -> Message:
    message: Message = {"role": "assistant", "content": text}
    return {**message, "tool_calls": calls} if calls else message
