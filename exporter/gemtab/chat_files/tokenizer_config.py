"""Make a bundle's tokenizer_config.json: the checkpoint's, with all tokens that a chat needs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gemtab.bundle.manifest import Input
from gemtab.chat.template import TOKENIZER_CONFIG_NAME
from gemtab.chat_files.template import KEY as TEMPLATE_KEY
from gemtab.chat_files.tokenizer import Vocabulary
from gemtab.checkpoint.config import CONFIG_NAME
from gemtab.checkpoint.source import Files, read_object
from gemtab.errors import CheckpointError

OLD_MAP_NAME = "special_tokens_map.json"
"""The file in which older releases keep the roles of tokens."""

ROLES = {f"{role}_token": f"<{role}>" for role in ("bos", "eos", "unk", "pad")}
"""GemmaTokenizer's default tokens."""

_IMAGE = {"boi_token": "<|image>", "image_token": "<|image|>", "eoi_token": "<image|>"}
_AUDIO = {"boa_token": "<|audio>", "audio_token": "<|audio|>", "eoa_token": "<audio|>"}
MEDIA: Mapping[Input, Mapping[str, str]] = {"image": _IMAGE, "video": _IMAGE, "audio": _AUDIO}
"""The placeholders of media and the tokens around them, by Gemma 4's names."""

_ID_KEYS = {"eoa_token": ("eoa_token_id", "eoa_token_index")}
_GROUPS = ("model_specific_special_tokens", "extra_special_tokens")


def tokenizer_config(
    files: Files, vocabulary: Vocabulary, inputs: Sequence[Input]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the content of tokenizer_config.json without a template, and notes. Raises CheckpointError where a token
    that the inputs need is unknown."""
    given = read_object(files, TOKENIZER_CONFIG_NAME)
    content = {key: value for key, value in (given or {}).items() if key != TEMPLATE_KEY}
    older = {} if "added_tokens_decoder" in content else read_object(files, OLD_MAP_NAME) or {}
    for role, token in ROLES.items():
        if role not in content and (found := older.get(role, token if token in vocabulary.ids else None)) is not None:
            content[role] = found
    content |= dict(_media_tokens(files, content, vocabulary, inputs))
    if given is not None:
        return content, ()
    note = f"{TOKENIZER_CONFIG_NAME} is missing: the special tokens are those of Gemma's tokenizer."
    return {"tokenizer_class": "GemmaTokenizer", **content}, (note,)


def _media_tokens(
    files: Files, content: Mapping[str, Any], vocabulary: Vocabulary, inputs: Sequence[Input]
) -> Iterator[tuple[str, str]]:
    """Yield name and token of each special token that the inputs need."""
    config = read_object(files, CONFIG_NAME) or {}
    by_id: dict[Any, str] = {number: token for token, number in vocabulary.ids.items()}
    for name, usual in {name: token for one in inputs for name, token in MEDIA.get(one, {}).items()}.items():
        groups = [group for key in _GROUPS if isinstance(group := content.get(key), dict)]
        named = [_content(group.get(name)) for group in (content, *groups)]
        numbered = [by_id.get(config.get(key)) for key in _ID_KEYS.get(name, (f"{name}_id",))]
        token = next((one for one in (*named, *numbered, usual) if one in vocabulary.ids), None)
        if token is None:
            raise CheckpointError(
                f"{files.where}: the tokenizer has no {name} ({usual}), which {' and '.join(inputs[1:])} need. Take "
                "the model's own tokenizer, or add --inputs text."
            )
        yield name, token


def _content(token: object) -> str | None:
    """Return the text of a token, which may be an object."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None
