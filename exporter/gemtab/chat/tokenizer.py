"""Encode text to token ids, and decode a stream of ids to a stream of text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenizers import AddedToken, Tokenizer

from gemtab.bundle.reading import read_text
from gemtab.chat.spoken import Piece as PromptPiece
from gemtab.chat.well_formed import well_formed
from gemtab.errors import BundleError

TOKENIZER_NAME = "tokenizer.json"
BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class Piece:
    """The text of one id. kind: "text" for characters, "byte" for one byte of a character that several ids spell,
    "special" for a token that marks structure and is not shown."""

    kind: Literal["text", "byte", "special"]
    text: str = ""
    byte: int = 0


class ChatTokenizer:
    """The bundle's tokenizer. Raises BundleError where it cannot be read."""

    def __init__(self, folder: Path) -> None:
        path = folder / TOKENIZER_NAME
        try:
            self._pipeline = Tokenizer.from_str(read_text(folder, TOKENIZER_NAME))
        except BundleError:
            raise
        except Exception as error:  # tokenizers raises plain Exception
            raise BundleError(f"{path} cannot be read: {error}. Export the checkpoint again.") from error
        # Training code leaves these switched on. Prompts are neither cut nor padded.
        self._pipeline.no_truncation()
        self._pipeline.no_padding()
        added = self._added = self._pipeline.get_added_tokens_decoder()
        self._special = {number: token.content for number, token in added.items() if token.special}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text. Special tokens spelled out in it become those tokens; none are added. Lone
        surrogates are read as U+FFFD."""
        ids: list[int] = self._pipeline.encode(well_formed(text), add_special_tokens=False).ids
        return ids

    def encode_pieces(self, pieces: Sequence[PromptPiece]) -> list[int]:
        """Return the ids of a prompt's pieces, one after the other."""
        encoded = (self._encode_text(piece.text) if piece.as_text else self.encode(piece.text) for piece in pieces)
        return [number for ids in encoded for number in ids]

    def _encode_text(self, text: str) -> list[int]:
        """Return the ids of a text without matching added tokens."""
        normalizer, splitter = self._pipeline.normalizer, self._pipeline.pre_tokenizer
        normal = normalizer.normalize_str(text) if normalizer else text
        words = [word for word, _ in splitter.pre_tokenize_str(normal)] if splitter else [normal]
        return [token.id for word in words for token in self._pipeline.model.tokenize(word)]

    def added(self) -> list[AddedToken]:
        """Return the added tokens, which are matched before the text is split."""
        return list(self._added.values())

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""
        return str(self._pipeline.decode(ids, skip_special_tokens=True))

    def piece(self, id: int) -> Piece:  # noqa: A002
        """Return the piece that `id` adds to a text."""
        if id in self._special:
            return Piece("special", self._special[id])
        byte = BYTE_TOKEN.fullmatch(self._pipeline.id_to_token(id) or "")
        if byte:
            return Piece("byte", byte=int(byte[1], 16))
        return Piece("text", self._pipeline.decode([id], skip_special_tokens=False))


class Detokenizer:
    """Returns text as soon as later ids cannot change it.

    Byte tokens are decoded as by the tokenizers library: a run of them is held until it ends, and becomes characters if
    all of it is UTF-8, else U+FFFD for each byte.
    """

    def __init__(self) -> None:
        self._run = bytearray()

    def push(self, piece: Piece) -> str:
        """Return the text that `piece` completes; a special token completes none."""
        if piece.kind == "special":
            return ""
        if piece.kind == "text":
            return self.end() + piece.text
        self._run.append(piece.byte)
        return ""

    def end(self) -> str:
        """Return the text of a pending run of bytes."""
        run = bytes(self._run)
        self._run.clear()
        try:
            return run.decode("utf-8")
        except UnicodeDecodeError:
            return "\ufffd" * len(run)
