"""Media in a conversation: expand their placeholders, and locate their tokens in the prompt.

The template writes one placeholder a medium. As in transformers' `Gemma4Processor`, the placeholder becomes one token
for each row that a tower makes, between begin and end tokens. Each frame of a video has its time before it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from gemtab.backends.media import Media
from gemtab.bundle.manifest import Tower
from gemtab.bundle.reading import read_object
from gemtab.chat.facts import MAX_PLACEHOLDER, VIDEO_TOKEN
from gemtab.chat.template import TOKENIZER_CONFIG_NAME, Written
from gemtab.chat.tokenizer import ChatTokenizer
from gemtab.errors import BundleError, UsageError

Kind = Literal["image", "audio", "video"]


@dataclass(frozen=True)
class Item:
    """One image, video frame or audio segment: the input of one run of a tower.

    key: digest of the content and its settings. tokens: number of rows that the tower makes. inputs: makes the tower's
    inputs, arrays by name.
    """

    tower: Tower
    key: str
    tokens: int
    inputs: Callable[[], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Medium:
    """The content of one placeholder. stamps: times of a video's frames as `mm:ss`; the video's audio items follow
    them."""

    kind: Kind
    items: tuple[Item, ...]
    stamps: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptItem:
    """An item whose tokens begin at `position` of a prompt."""

    item: Item
    position: int

    @property
    def end(self) -> int:
        """The position after its last token."""
        return self.position + self.item.tokens


@dataclass(frozen=True)
class Prompt:
    """Ids of a prompt, and the items whose placeholders are among them."""

    ids: list[int]
    items: tuple[PromptItem, ...] = ()

    def keys(self) -> list[int | tuple[str, int]]:
        """Return the identity of each token: equal placeholders of different media differ."""
        keys: list[int | tuple[str, int]] = list(self.ids)
        for entry in self.items:
            keys[entry.position : entry.end] = [(entry.item.key, i) for i in range(entry.item.tokens)]
        return keys


class Encoder(Protocol):
    """Encodes items to rows of embeddings."""

    def rows(self, item: Item) -> object:
        """Return the item's rows in the form that the text backend takes."""


class _TextOnly:
    def rows(self, item: Item) -> object:
        raise UsageError(f"The conversation has a medium of {item.tokens} tokens, but the session has no encoder.")


TEXT_ONLY = _TextOnly()
"""The encoder of conversations without media."""


def encode_items(items: Sequence[PromptItem], encoder: Encoder) -> list[Media]:
    """Encode items to rows at their positions in the prompt."""
    return [
        Media(entry.position, entry.item.tokens, encoder.rows(entry.item), entry.item.tower == "image")
        for entry in items
    ]


class Placeholders:
    """The placeholder tokens of media, from the bundle's tokenizer_config.json.

    Raises BundleError where the tokenizer lacks a token that is needed.
    """

    def __init__(self, folder: Path, tokenizer: ChatTokenizer) -> None:
        self._where = folder / TOKENIZER_CONFIG_NAME
        self._config: dict[str, Any] = {"video_token": VIDEO_TOKEN, **read_object(folder, TOKENIZER_CONFIG_NAME)}
        self._tokenizer = tokenizer

    def prompt(self, written: Written, media: Sequence[Medium]) -> Prompt:
        """Return the prompt of a rendered conversation, placeholders expanded. Raises as `expand` and `locate` do."""
        pieces = written.cut(self.expand(written.text, media))
        return self.locate(self._tokenizer.encode_pieces(pieces), media)

    def tokens(self) -> dict[str, Kind]:
        """Return the kind of media of each placeholder that templates write."""
        kinds: tuple[Kind, ...] = ("image", "audio", "video")
        named = {self._config.get(f"{kind}_token"): kind for kind in kinds if self._is_text(f"{kind}_token")}
        return {token: kind for token, kind in named.items() if token}

    def _is_text(self, name: str) -> bool:
        """Whether tokenizer_config.json names the token `name`. Raises BundleError for a token that is too long."""
        token = self._config.get(name)
        if isinstance(token, str) and len(token) > MAX_PLACEHOLDER:
            raise BundleError(
                f"{self._where}: {name} has {len(token):,} characters; expected at most {MAX_PLACEHOLDER:,}. Export "
                "the checkpoint again."
            )
        return isinstance(token, str)

    def expand(self, text: str, media: Sequence[Medium]) -> str:
        """Return a rendered conversation with its placeholders expanded. Raises UsageError where the placeholders in
        the text are not those of `media`, in order."""
        known = self.tokens()
        if not known:
            return text
        pattern = "|".join(re.escape(token) for token in known)
        found = [known[match] for match in re.findall(pattern, text)]
        if found != [medium.kind for medium in media]:
            raise UsageError(
                f"The prompt has the placeholders {found or 'none'}, but the conversation has the media "
                f"{[medium.kind for medium in media] or 'none'}. Either the bundle's template does not take media, or "
                f"trusted texts contain placeholders: leave {', '.join(known)} out of your texts."
            )
        written = iter(media)
        return re.sub(pattern, lambda _: self._written(next(written)), text)

    def locate(self, ids: Sequence[int], media: Sequence[Medium]) -> Prompt:
        """Locate the items of `media` in the ids of an expanded conversation. Raises BundleError where one is
        missing."""
        entries: list[PromptItem] = []
        at = 0
        for one, item in ((medium, item) for medium in media for item in medium.items):
            token = self._id(_token_of(one, item))
            at = next((i for i in range(at, len(ids)) if ids[i] == token), len(ids))
            if list(ids[at : at + item.tokens]) != [token] * item.tokens:
                raise BundleError(
                    f"{self._where}: the tokenizer splits {self._text(_token_of(one, item))}, which media need as one "
                    "token. Export the checkpoint again."
                )
            entries.append(PromptItem(item, at))
            at += item.tokens
        return Prompt(list(ids), tuple(entries))

    def _written(self, medium: Medium) -> str:
        return " ".join(self._images(medium)) + "".join(self._audio(medium))

    def _images(self, medium: Medium) -> Iterator[str]:
        images = [item for item in medium.items if item.tower == "image"]
        stamps = [f"{stamp} " for stamp in medium.stamps] or [""] * len(images)
        for stamp, item in zip(stamps, images, strict=True):
            inside = self._text(_token_of(medium, item)) * item.tokens
            yield f"{stamp}{self._text('boi_token')}{inside}{self._text('eoi_token')}"

    def _audio(self, medium: Medium) -> Iterator[str]:
        for item in medium.items:
            if item.tower == "audio":
                inside = self._text("audio_token") * item.tokens
                yield f"{self._text('boa_token')}{inside}{self._text('eoa_token')}"

    def _text(self, name: str) -> str:
        token = self._config.get(name)
        if not isinstance(token, str):
            raise BundleError(f"{self._where} has no {name}, which media need. Export the checkpoint again.")
        return token

    def _id(self, name: str) -> int:
        ids = self._tokenizer.encode(self._text(name))
        if len(ids) != 1:
            raise BundleError(
                f"{self._where}: {name} {self._text(name)!r} is {len(ids)} tokens; expected one. Export the checkpoint "
                "again."
            )
        return ids[0]


def _token_of(medium: Medium, item: Item) -> str:
    if item.tower == "audio":
        return "audio_token"
    return "video_token" if medium.kind == "video" else "image_token"
