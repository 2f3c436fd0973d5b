"""A conversation: prompts rendered, tokens processed and sampled, and the next turn's prompt reusing what it can."""

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
    """A copy of what a rewind of the caches could not get back."""

    @property
    def position(self) -> int:
        """Tokens in the caches when the snapshot was taken."""
        ...

    @property
    def bytes(self) -> int:
        """Memory that the snapshot takes."""
        ...


Kept = TypeVar("Kept", bound=Snapshot)


class TextBackend(Protocol[Kept]):
    """What runs the model: see `gemtab.backends.webgpu.engine.text_engine.TextEngine`."""

    @property
    def context(self) -> int:
        """Tokens that the caches may hold."""
        ...

    @property
    def position(self) -> int:
        """Tokens in the caches."""
        ...

    def set_sampling(self, temperature: float, top_k: int, top_p: float, seed: int) -> None:
        """How the next ids are chosen; temperature 0 is greedy."""

    def fill(self, ids: Sequence[int], media: Sequence[Media] = ()) -> None:
        """Puts tokens into the caches; media: what stands in the places of placeholders among them."""

    def decode(self, token: int | None) -> int:
        """Processes one token (the one just sampled if None), samples the next and returns its id."""
        ...

    def snapshot(self) -> Kept:
        """A copy of what a rewind could not get back."""
        ...

    def restore(self, snapshot: Kept) -> None:
        """Goes back to where the snapshot was taken."""

    def rewind(self, position: int) -> bool:
        """Goes back to `position` if that can be done without a snapshot; whether it was."""
        ...

    def reset(self) -> None:
        """Empties the caches."""


@dataclass(frozen=True)
class Sampling:
    """temperature 0 is greedy; top_k 0 keeps as many as the sampler does; top_p 1 is off. Raises UsageError for other
    values than there can be."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(**vars(self))


class ToolFunction(TypedDict):
    """What is called; arguments as the template takes them."""

    name: str
    arguments: dict[str, Any] | str


class ToolRequest(TypedDict):
    """A call of a tool in a message of the model."""

    type: Literal["function"]
    function: ToolFunction


class TextPart(TypedDict):
    """Words among media."""

    type: Literal["text"]
    text: str


class MediumPart(TypedDict):
    """A picture, sound or clip; `type` is its kind."""

    type: Literal["image", "audio", "video"]
    medium: Medium


Content = str | list[TextPart | MediumPart]


def content_of(text: str, media: Sequence[Medium]) -> Content:
    """Media, then what is said of them: a question is read with them in mind."""
    if not media:
        return text
    parts: list[TextPart | MediumPart] = [{"type": medium.kind, "medium": medium} for medium in media]
    return [*parts, {"type": "text", "text": text}]


class Message(TypedDict):
    """A message as templates know it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Content
    tool_calls: NotRequired[list[ToolRequest]]


@dataclass
class TurnStats:
    """How one answer went; ids: what the model wrote, the end token included; prompt_seconds: until its first id."""

    prompt_tokens: int
    reused_tokens: int
    ids: list[int] = field(default_factory=list)
    prompt_seconds: float = 0.0
    answer_seconds: float = 0.0
    finish: Literal["stop", "length"] = "length"

    @property
    def answer_tokens(self) -> int:
        """How many ids the model wrote."""
        return len(self.ids)


class PromptCache:
    """What the backend's caches hold, and how the next prompt reuses it.

    A conversation is rendered anew each turn, and the template changes earlier turns when it is (thoughts and the
    empty thought block go), so only the longest common prefix is kept, of ids and of what is in the media. Caches that
    are rings cannot go back far: a snapshot is kept where each prompt is expected to agree with the next one.
    """

    def __init__(self, backend: TextBackend[Any]) -> None:
        self._backend = backend
        self._keys: list[int | tuple[str, int]] = []
        self._snapshots: list[Snapshot] = []

    def fill(self, prompt: Prompt, stable: int, encoder: Encoder = TEXT_ONLY) -> int:
        """Brings the caches to all of the prompt but its last id, which the first decode step takes; keeps a snapshot
        at `stable`. Media that the caches do not hold yet are encoded. Returns how many ids they already held."""
        ids, keys = prompt.ids, prompt.keys()
        last = len(ids) - 1
        reused = self._go_back(min(common_prefix(self._keys, keys), last))
        self._keys = keys[:reused]
        media = encode_items([placed for placed in prompt.items if placed.end > reused], encoder)
        if reused <= stable <= last:
            self._backend.fill(ids[reused:stable], media)
            self._take_snapshot()
        self._backend.fill(ids[self._backend.position : last], media)
        self._keys = keys[:last]
        return reused

    def decode(self, ids: Sequence[int], most: int) -> Iterator[int]:
        """The next ids, at most so many, from the prompt `ids` that was filled."""
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
    """A conversation with the bundle in `folder` on a backend of its own.

    encoder: makes rows of media for it; trusted: control tokens that are spelled out in messages are control tokens, as
    in transformers, but for the model's own. Otherwise they are text, and so cannot end a turn or begin one. prompts:
    the process in which the bundle's template and tokenizer work, where there is one already. Raises UsageError for
    messages that cannot be.
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
        """The conversation so far, the opening of the model's turn included. Raises UsageError for what is none."""
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
        """Adds what the user says to the conversation and gives the answer's parts as they come; the answer is then
        added too.

        Raises ContextError, before anything runs, where the prompt leaves no room for an answer, and UsageError where
        media cannot be taken, and for values that cannot be. After any error the conversation is as it was.
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
        room = self._backend.context - len(ids) + 1
        if room <= 1:
            raise ContextError(
                f"The conversation is {len(ids):,} tokens long, but the context holds {self._backend.context:,}, the "
                "answer included. Shorten the prompt, or export again with a larger --context."
            )
        self._backend.set_sampling(sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed)
        self.stats = TurnStats(len(ids), self._cache.fill(prompt, self._stable_prefix(prompt), self._encoder))
        for id_ in self._cache.decode(ids, room if max_tokens is None else min(max_tokens, room)):
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
        """How much of the prompt the next turn will begin with: the template is asked what it makes of an answer."""
        answered: list[Message] = [*self.messages, {"role": "assistant", "content": "…"}]
        next_time = self._rendered(answered, add_generation_prompt=False)
        return min(common_prefix(prompt.keys(), next_time.keys()), len(prompt.ids) - 1)


def _parts(message: Message) -> Sequence[TextPart | MediumPart]:
    content = message["content"]
    return () if isinstance(content, str) else content


def common_prefix(left: Sequence[Any], right: Sequence[Any]) -> int:
    """How many elements two sequences have in common from the start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


def _tool_request(call: str) -> ToolRequest:
    """`call:name{arguments}` as the template takes it back: arguments stay in the wire format."""
    name, _, arguments = call.removeprefix("call:").partition("{")
    return {"type": "function", "function": {"name": name.strip(), "arguments": arguments.removesuffix("}")}}


def _assistant_message(text: str, calls: list[ToolRequest]) -> Message:
    message: Message = {"role": "assistant", "content": text}
    return {**message, "tool_calls": calls} if calls else message
