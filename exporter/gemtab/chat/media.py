"""Pictures, sound and clips in a conversation: what their placeholders become, and where their tokens stand.

The template writes one placeholder for each medium. As in transformers' `Gemma4Processor` it becomes as many
placeholder tokens as a tower makes rows, between tokens that mark beginning and end; each frame of a clip has its time
before it.
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
from gemtab.chat.facts import MOST_PLACEHOLDER, VIDEO_TOKEN
from gemtab.chat.template import TOKENIZER_CONFIG_NAME, Written
from gemtab.chat.tokenizer import ChatTokenizer
from gemtab.errors import BundleError, UsageError

Kind = Literal["image", "audio", "video"]


@dataclass(frozen=True)
class Item:
    """One picture, frame, or stretch of sound, which a tower makes `tokens` rows of.

    key: says what is in it, and how it was prepared; inputs: makes the tower's inputs, arrays by name.
    """

    tower: Tower
    key: str
    tokens: int
    inputs: Callable[[], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Medium:
    """What one placeholder stands for. stamps: the times of a clip's frames, `mm:ss`; its sound follows them."""

    kind: Kind
    items: tuple[Item, ...]
    stamps: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlacedItem:
    """An item whose tokens begin at index `position` of a prompt."""

    item: Item
    position: int

    @property
    def end(self) -> int:
        """The index after its last token."""
        return self.position + self.item.tokens


@dataclass(frozen=True)
class Prompt:
    """Ids, and the items whose placeholders are among them."""

    ids: list[int]
    items: tuple[PlacedItem, ...] = ()

    def keys(self) -> list[int | tuple[str, int]]:
        """What each token is: equal placeholders of different media differ."""
        keys: list[int | tuple[str, int]] = list(self.ids)
        for placed in self.items:
            keys[placed.position : placed.end] = [(placed.item.key, i) for i in range(placed.item.tokens)]
        return keys


class Encoder(Protocol):
    """Makes rows of embeddings of items."""

    def rows(self, item: Item) -> object:
        """The item's rows, as the backend that fills takes them."""


class _TextOnly:
    def rows(self, item: Item) -> object:
        raise UsageError(f"A medium of {item.tokens} tokens is in the conversation, but there is no encoder for media.")


TEXT_ONLY = _TextOnly()
"""The encoder of conversations that have no media."""


def encode_items(items: Sequence[PlacedItem], encoder: Encoder) -> list[Media]:
    """The rows of items, in their places."""
    return [
        Media(placed.position, placed.item.tokens, encoder.rows(placed.item), placed.item.tower == "image")
        for placed in items
    ]


class Placeholders:
    """The tokens by which media come into a prompt, from the bundle's tokenizer_config.json.

    Raises BundleError where the tokenizer lacks one that is needed.
    """

    def __init__(self, folder: Path, tokenizer: ChatTokenizer) -> None:
        self._where = folder / TOKENIZER_CONFIG_NAME
        self._config: dict[str, Any] = {"video_token": VIDEO_TOKEN, **read_object(folder, TOKENIZER_CONFIG_NAME)}
        self._tokenizer = tokenizer

    def prompt(self, written: Written, media: Sequence[Medium]) -> Prompt:
        """The prompt of a rendered conversation, each placeholder written out. Raises as `expand` does."""
        pieces = written.cut(self.expand(written.text, media))
        return self.place(self._tokenizer.encode_pieces(pieces), media)

    def tokens(self) -> dict[str, Kind]:
        """The placeholders that templates write, and what each stands for."""
        kinds: tuple[Kind, ...] = ("image", "audio", "video")
        named = {self._config.get(f"{kind}_token"): kind for kind in kinds if self._is_text(f"{kind}_token")}
        return {token: kind for token, kind in named.items() if token}

    def _is_text(self, name: str) -> bool:
        """Whether a token is stated as text. Raises BundleError where it is longer than a token is."""
        token = self._config.get(name)
        if isinstance(token, str) and len(token) > MOST_PLACEHOLDER:
            raise BundleError(
                f"{self._where}: {name} has {len(token):,} characters; expected at most {MOST_PLACEHOLDER:,}. Export "
                "the checkpoint again."
            )
        return isinstance(token, str)

    def expand(self, text: str, media: Sequence[Medium]) -> str:
        """A rendered conversation with each placeholder written out. Raises UsageError where the text has other
        placeholders than those of `media`."""
        known = self.tokens()
        if not known:
            return text
        pattern = "|".join(re.escape(token) for token in known)
        found = [known[match] for match in re.findall(pattern, text)]
        if found != [medium.kind for medium in media]:
            raise UsageError(
                f"The prompt has the placeholders {found or 'none'}, but the conversation has "
                f"{[medium.kind for medium in media] or 'no media'}. Either the bundle's template takes no media, or "
                f"the texts are trusted and have placeholders: leave {', '.join(known)} out of what you write."
            )
        written = iter(media)
        return re.sub(pattern, lambda _: self._written(next(written)), text)

    def place(self, ids: Sequence[int], media: Sequence[Medium]) -> Prompt:
        """The prompt of an expanded conversation's ids."""
        placed: list[PlacedItem] = []
        at = 0
        for one, item in ((medium, item) for medium in media for item in medium.items):
            token = self._id(_token_of(one, item))
            at = next((i for i in range(at, len(ids)) if ids[i] == token), len(ids))
            if list(ids[at : at + item.tokens]) != [token] * item.tokens:
                raise BundleError(
                    f"{self._where}: the tokenizer does not keep {self._text(_token_of(one, item))} whole, which media "
                    "need. Export the checkpoint again."
                )
            placed.append(PlacedItem(item, at))
            at += item.tokens
        return Prompt(list(ids), tuple(placed))

    def _written(self, medium: Medium) -> str:
        return " ".join(self._pictures(medium)) + "".join(self._sounds(medium))

    def _pictures(self, medium: Medium) -> Iterator[str]:
        pictures = [item for item in medium.items if item.tower == "image"]
        stamps = [f"{stamp} " for stamp in medium.stamps] or [""] * len(pictures)
        for stamp, item in zip(stamps, pictures, strict=True):
            inside = self._text(_token_of(medium, item)) * item.tokens
            yield f"{stamp}{self._text('boi_token')}{inside}{self._text('eoi_token')}"

    def _sounds(self, medium: Medium) -> Iterator[str]:
        for item in medium.items:
            if item.tower == "audio":
                inside = self._text("audio_token") * item.tokens
                yield f"{self._text('boa_token')}{inside}{self._text('eoa_token')}"

    def _text(self, name: str) -> str:
        token = self._config.get(name)
        if not isinstance(token, str):
            raise BundleError(f"{self._where} names no {name}, which media need. Export the checkpoint again.")
        return token

    def _id(self, name: str) -> int:
        ids = self._tokenizer.encode(self._text(name))
        if len(ids) != 1:
            raise BundleError(
                f"{self._where}: {name} {self._text(name)!r} is not one token but {len(ids)}. Export the "
                "the checkpoint again."
            )
        return ids[0]


def _token_of(medium: Medium, item: Item) -> str:
    if item.tower == "audio":
        return "audio_token"
    return "video_token" if medium.kind == "video" else "image_token"
