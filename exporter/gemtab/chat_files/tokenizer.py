"""Make a bundle's tokenizer.json: the checkpoint's, without truncation, padding, and ids that the model does not
have."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from gemtab.chat.tokenizer import TOKENIZER_NAME
from gemtab.chat.well_formed import well_formed
from gemtab.chat_files.added_tokens import numbered, with_added
from gemtab.chat_files.panics import without_panics
from gemtab.checkpoint.missing import missing_tokenizer
from gemtab.checkpoint.source import Files, parse_object
from gemtab.errors import CheckpointError

_SMALL = 1 << 20
"""Maximum characters of a tokenizer.json that is opened in this process for the check."""

_OPEN = "import sys; from tokenizers import Tokenizer; Tokenizer.from_str(sys.stdin.buffer.read().decode())"

_OF_TRAINING = ("truncation", "padding")
"""Settings that training code leaves switched on. Chats in transformers ignore both."""


@dataclass(frozen=True)
class Vocabulary:
    """The added tokens with their ids."""

    ids: Mapping[str, int]

    def words(self, ids: Iterable[int]) -> str:
        """Return the tokens of ids, for a message."""
        names = {number: token for token, number in self.ids.items()}
        return ", ".join(names.get(number, f"id {number}") for number in ids)


@dataclass(frozen=True)
class TokenizerFile:
    """A tokenizer.json, its added tokens, and notes on it."""

    text: str
    vocabulary: Vocabulary
    notes: tuple[str, ...]


def read_tokenizer(files: Files, size: int, template: str) -> TokenizerFile:
    """Read the tokenizer. size: number of ids of the model.

    Raises CheckpointError where the tokenizer is missing or belongs to another model, and where the template writes a
    token for which the model has no row.
    """
    text = files.find(TOKENIZER_NAME)
    if text is None:
        raise missing_tokenizer(files.where)
    where = f"{files.where}: {TOKENIZER_NAME}"
    try:
        found = _fitted(files, text, size, template, where)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):  # values of a wrong type, deep inside
        raise _no_tokenizer(where) from None
    _check_pipeline(found.text, where)
    return found


def _fitted(files: Files, text: str, size: int, template: str, where: str) -> TokenizerFile:
    """Return the tokenizer `text` without ids that the model does not have. The parsed content, 200 MB for a published
    tokenizer, is freed before the tokenizers library opens the result."""
    content = parse_object(text, where)
    _check(content, where)
    own = content["added_tokens"]
    vocabulary = _vocabulary(content["model"])
    content["added_tokens"] = numbered(with_added(files, own, vocabulary), vocabulary, where)
    beyond = {token["content"]: token["id"] for token in content["added_tokens"] if token["id"] >= size}
    _check_vocabulary(content["model"], beyond, size, where)
    _check_template(template, beyond, size, where)
    left_on = [key for key in _OF_TRAINING if content.get(key) is not None]
    if beyond or left_on or content["added_tokens"] != sorted(own, key=lambda token: int(token["id"])):
        content |= dict.fromkeys(left_on)
        _drop(content, beyond)
        text = well_formed(json.dumps(content, ensure_ascii=False))
    notes = [f"Tokens left out of the tokenizer, since the model has no rows for their ids: {some(list(beyond))}."]
    ids = {token["content"]: token["id"] for token in content["added_tokens"]}
    return TokenizerFile(text, Vocabulary(ids), tuple(notes) if beyond else ())


def _check_template(template: str, beyond: Mapping[str, int], size: int, where: str) -> None:
    if written := [token for token in beyond if token in template]:
        raise CheckpointError(
            f"{where}: the template writes {', '.join(written)} with id {beyond[written[0]]}, but the model has the "
            f"ids 0 to {size - 1}. Save the model after resize_token_embeddings, or with the tokenizer that it was "
            "trained with."
        )


def _check(found: Mapping[str, Any], where: str) -> None:
    added, model = found.get("added_tokens"), found.get("model")
    listed = added if isinstance(added, list) and isinstance(model, dict) else [None]
    if not all(isinstance(one, dict) and _is_token(one.get("content"), one.get("id")) for one in listed):
        raise _no_tokenizer(where)
    assert isinstance(model, dict)
    if not all(_is_token(token, number) for token, number in _vocabulary(model).items()):
        raise _no_tokenizer(where)


def _is_token(content: object, number: object) -> bool:
    return isinstance(content, str) and isinstance(number, int) and not isinstance(number, bool) and number >= 0


def _no_tokenizer(where: str) -> CheckpointError:
    return CheckpointError(
        f"{where} is not a file of the tokenizers library: expected `model` and `added_tokens`, whose "
        "tokens have a text and an id. Save the tokenizer again, or take the base model's."
    )


def _check_pipeline(text: str, where: str) -> None:
    """Raise CheckpointError where the tokenizers library cannot open the tokenizer."""
    if reason := _reason(text) if len(text) < _SMALL else _reason_of_a_child(text):
        raise CheckpointError(
            f"{where} cannot be opened by the tokenizers library: {reason}. Save the tokenizer again, or take the base "
            "model's."
        )


def _reason(text: str) -> str | None:
    try:
        with without_panics():
            Tokenizer.from_str(text)
    except ValueError as error:
        return str(error)
    return None


def _reason_of_a_child(text: str) -> str | None:
    """As `_reason`, in a process of its own, so that its memory is freed: 330 MB for a published tokenizer."""
    command = [sys.executable, "-P", "-c", _OPEN]
    ended = subprocess.run(command, input=text.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if ended.returncode == 0:
        return None
    *_, last = ended.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {ended.returncode}"]
    return last.removeprefix("Exception: ")


def _vocabulary(model: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the ids of ordinary tokens."""
    found = model.get("vocab")
    return found if isinstance(found, dict) else {}


def _check_vocabulary(model: Mapping[str, Any], beyond: Mapping[str, int], size: int, where: str) -> None:
    """Raise CheckpointError where ordinary tokens have ids that the model does not have."""
    ids = _vocabulary(model)
    if outside := [token for token, number in ids.items() if number >= size and token not in beyond]:
        raise CheckpointError(
            f"{where} has {len(outside)} tokens beyond the model's {size} ids, such as {outside[0]!r} with id "
            f"{ids[outside[0]]}. The file belongs to another model: take this model's own."
        )


def _drop(content: dict[str, Any], beyond: Mapping[str, int]) -> None:
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in beyond]
    if vocabulary := _vocabulary(content["model"]):
        kept = {token: number for token, number in vocabulary.items() if token not in beyond}
        content["model"] = {**content["model"], "vocab": kept}


def some(tokens: Sequence[str], most: int = 5) -> str:
    """Return the first `most` tokens, and how many more there are, for a message."""
    rest = len(tokens) - most
    return ", ".join(tokens[:most]) + (f" and {rest} more" if rest > 0 else "")
