"""Find the ids that end answers, in generation_config.json, else config.json, else the tokenizer; and the sampling."""

from collections.abc import Iterable, Mapping
from typing import Any

from gemtab.chat.checks import WHOLE, expected, fits
from gemtab.chat.generation_config import GENERATION_CONFIG_NAME, KEY
from gemtab.chat_files.tokenizer import Vocabulary
from gemtab.checkpoint.config import CONFIG_NAME
from gemtab.checkpoint.source import Files, read_object
from gemtab.errors import CheckpointError

TURN_ENDS = ("<turn|>", "<end_of_turn>")
"""Tokens with which Gemma's templates close a turn."""

_SETTINGS = ("temperature", "top_k", "top_p")
FROM_MODEL = "_from_model_config"
"""transformers' mark of a file made from config.json. A file with other ends does not keep the mark."""


def generation_config(
    files: Files, vocabulary: Vocabulary, special: Mapping[str, Any], template: str, size: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the content of generation_config.json with all ids that end an answer, and notes.

    special: the content of tokenizer_config.json. size: number of ids of the model. Raises CheckpointError where no id
    ends an answer, and for invalid sampling settings.
    """
    given = read_object(files, GENERATION_CONFIG_NAME) or {}
    sampling = _sampling(given, f"{files.where}: {GENERATION_CONFIG_NAME}")
    own = _ids(given.get(KEY), f"{files.where}: {GENERATION_CONFIG_NAME}", size)
    closing = [vocabulary.ids[token] for token in TURN_ENDS if token in template and token in vocabulary.ids]
    if own and not given.get(FROM_MODEL):
        return {**given, **sampling}, tuple(_runs_on(own, closing, vocabulary))
    ids, place = (own, GENERATION_CONFIG_NAME) if own else _elsewhere(files, vocabulary, special, size)
    added = [] if set(ids) & set(closing) else closing
    if not ids and not added:
        raise CheckpointError(
            f"{files.where} does not state where answers end: neither {GENERATION_CONFIG_NAME} nor {CONFIG_NAME} has "
            f"{KEY}, and the tokenizer has no eos_token. Add {KEY}, an id or a list of ids, to "
            f"{GENERATION_CONFIG_NAME}."
        )
    if own and not added:
        return {**given, **sampling}, ()
    reasons = [f"at {vocabulary.words(ids)}, as {place} says"] if ids else []
    reasons += [f"at {vocabulary.words(added)}, with which the template closes a turn"] if added else []
    missing = "" if own else f": {GENERATION_CONFIG_NAME} has no such token"
    content = {key: value for key, value in given.items() if key != FROM_MODEL}
    return {**content, **sampling, KEY: [*ids, *added]}, (f"Answers end {', and '.join(reasons)}{missing}.",)


def _runs_on(own: Iterable[int], closing: list[int], vocabulary: Vocabulary) -> Iterable[str]:
    if closing and not set(own) & set(closing):
        yield (
            f"Answers end at {vocabulary.words(own)} only, as {GENERATION_CONFIG_NAME} says, but the template closes "
            f"a turn with {vocabulary.words(closing)}. If answers do not stop, add {', '.join(map(str, closing))} to "
            f"{KEY}."
        )


def _elsewhere(files: Files, vocabulary: Vocabulary, special: Mapping[str, Any], size: int) -> tuple[list[int], str]:
    """Return the ids of config.json, else of the tokenizer, and the name of their source."""
    config = read_object(files, CONFIG_NAME) or {}
    for one in (config, config.get("text_config")):
        if isinstance(one, dict) and (ids := _ids(one.get(KEY), f"{files.where}: {CONFIG_NAME}", size)):
            return ids, CONFIG_NAME
    end = _content(special.get("eos_token"))
    return [vocabulary.ids[end]] if end in vocabulary.ids else [], "the tokenizer"


def _ids(found: object, where: str, size: int) -> list[int]:
    """Return the ids of eos_token_id that the model has."""
    listed: list[Any] = [] if found is None else found if isinstance(found, list) else [found]
    for one in listed:
        if isinstance(one, bool) or not isinstance(one, int):
            raise CheckpointError(f"{where}: {KEY} is {found!r}; expected an id, or a list of ids. Correct the file.")
    ids = [one for one in listed if 0 <= one < size]
    if listed and not ids:
        raise CheckpointError(
            f"{where}: {KEY} is {found!r}, but the model has the ids 0 to {size - 1}: no answer would end. Correct the "
            "file."
        )
    return ids


def _sampling(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the default sampling settings, in their own types."""
    found = {}
    if not isinstance(given.get("do_sample"), bool | None):
        raise CheckpointError(f"{where}: do_sample is {given['do_sample']!r}; expected true or false.")
    for name in _SETTINGS:
        value = given.get(name)
        if value is None:
            continue
        # In JSON, 64.0 is an integer.
        value = int(value) if name in WHOLE and isinstance(value, float) and value.is_integer() else value
        if not fits(name, value):
            raise CheckpointError(f"{where}: {name} is {value!r}; expected {expected(name)}.")
        found[name] = value
    return found


def _content(token: object) -> str:
    """Return the text of a token, which may be an object."""
    return str(token.get("content")) if isinstance(token, dict) else str(token)
