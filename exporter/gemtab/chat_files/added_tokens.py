"""Collect added tokens (matched before text is split) from all files that list them. As in transformers, tokens of
tokenizer_config.json and of the older added_tokens.json join those of tokenizer.json."""

from collections.abc import Iterator, Mapping
from typing import Any

from gemtab.chat.template import TOKENIZER_CONFIG_NAME
from gemtab.checkpoint.source import Files, read_object
from gemtab.errors import CheckpointError

DECODER = "added_tokens_decoder"
OLD_NAME = "added_tokens.json"

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def with_added(files: Files, listed: list[dict[str, Any]], vocabulary: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return `added_tokens` of tokenizer.json with those of the other files. Flags of tokenizer_config.json and ids of
    tokenizer.json take precedence. vocabulary: ids of the tokenizer's ordinary tokens.

    Raises CheckpointError where one id has two tokens.
    """
    tokens = {token["content"]: token for token in listed}
    found = list(_elsewhere(files, tokens))
    # A quarter of a million tokens, and mostly not needed.
    holders = _holders(listed, vocabulary) if any(token["content"] not in tokens for token in found) else {}
    for token in found:
        before, content = tokens.get(token["content"], {}), token["content"]
        number = before.get("id", vocabulary.get(content, token["id"]))
        if not before and holders.setdefault(number, content) != content:
            raise CheckpointError(
                f"{files.where}: id {number} is {holders[number]!r} in tokenizer.json, and {content!r} in "
                f"{TOKENIZER_CONFIG_NAME} or {OLD_NAME}. The files belong to different tokenizers: take all files of "
                "one."
            )
        tokens[content] = {**before, **token, "id": number}
    return sorted(tokens.values(), key=lambda token: int(token["id"]))


def _holders(listed: list[dict[str, Any]], vocabulary: Mapping[str, int]) -> dict[int, str]:
    """Return the tokens by id."""
    found = {number: token for token, number in vocabulary.items()}
    found.update((one["id"], one["content"]) for one in listed)
    return found


def numbered(tokens: list[dict[str, Any]], vocabulary: Mapping[str, int], where: str) -> list[dict[str, Any]]:
    """Return the tokens with the ids that the tokenizers library, and so transformers, gives them: the ordinary token's
    id, else the next id after all others. The tab takes ids as written.

    vocabulary: empty where the model has none. Raises CheckpointError where the next id is an ordinary token's.
    """
    if not vocabulary:
        return tokens
    following, found = len(vocabulary), []
    taken = set() if all(token["content"] in vocabulary for token in tokens) else set(vocabulary.values())
    for token in tokens:
        number = vocabulary.get(token["content"])
        if number is None:
            if following in taken:
                raise CheckpointError(
                    f"{where}: {token['content']!r} has the id {token['id']}, which is not in model.vocab. The "
                    f"tokenizers library would give it the id {following}, which an ordinary token has. Save the "
                    "tokenizer again with transformers, or take the base model's."
                )
            number, following = following, following + 1
        found.append({**token, "id": number})
    return found


def _elsewhere(files: Files, known: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    decoder = (read_object(files, TOKENIZER_CONFIG_NAME) or {}).get(DECODER)
    if not isinstance(decoder, dict):
        for token, number in (read_object(files, OLD_NAME) or {}).items():
            if token not in known:
                yield {"id": number, "content": token, **dict.fromkeys(_FLAGS, False), "normalized": True}
        return
    for number, token in decoder.items():
        if isinstance(token, dict) and "content" in token and str(number).isdigit():
            flags = {name: bool(token.get(name, False)) for name in _FLAGS}
            yield {"id": int(number), "content": token["content"], **flags}
