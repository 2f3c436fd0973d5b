"""Text to token ids, and a stream of ids back to a stream of text."""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

from gemtab.errors import BundleError

TOKENIZER_NAME = "tokenizer.json"
BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class Piece:
    """What one id adds to a text: characters, a byte of a character that several ids spell, or, where `special`,
    nothing to be shown but a token that marks structure."""

    kind: Literal["text", "byte", "special"]
    text: str = ""
    byte: int = 0


class ChatTokenizer:
    """The bundle's tokenizer. Raises BundleError where it cannot be read."""

    def __init__(self, folder: Path) -> None:
        path = folder / TOKENIZER_NAME
        try:
            self._pipeline = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # tokenizers raises plain Exception
            raise BundleError(f"{path} cannot be read: {error}. Export the checkpoint again.") from error
        # Trainers leave these switched on; a prompt is neither cut nor filled.
        self._pipeline.no_truncation()
        self._pipeline.no_padding()
        added = self._pipeline.get_added_tokens_decoder()
        self._special = {number: token.content for number, token in added.items() if token.special}

    def encode(self, text: str) -> list[int]:
        """Special tokens spelled out in the text become those tokens; none are added."""
        ids: list[int] = self._pipeline.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out."""
        return str(self._pipeline.decode(ids, skip_special_tokens=True))

    def piece(self, id: int) -> Piece:  # noqa: A002
        """What `id` adds to a text."""
        if id in self._special:
            return Piece("special", self._special[id])
        byte = BYTE_TOKEN.fullmatch(self._pipeline.id_to_token(id) or "")
        if byte:
            return Piece("byte", byte=int(byte[1], 16))
        return Piece("text", self._pipeline.decode([id], skip_special_tokens=False))


class Detokenizer:
    """Gives text as soon as no later id can change it: a character spelled by several byte tokens waits for its last.
    Bytes that are no character become U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, piece: Piece) -> str:
        """The text that `piece` completes; a special token adds none."""
        if piece.kind == "byte":
            return self._decoder.decode(bytes([piece.byte]))
        return self.end() + (piece.text if piece.kind == "text" else "")

    def end(self) -> str:
        """What is left of an unfinished character."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
